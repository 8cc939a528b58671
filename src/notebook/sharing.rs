//! Letting members in and turning them away, each in the turn of its note.

use super::Notebook;
use crate::clock;
use crate::notes::{NoteError, Role};
use crate::protocol::{NoteId, UserId};

impl Notebook {
    /// Shares a note that is at home here; goes on when the caller goes away.
    pub(super) async fn share_here(
        &self,
        note: NoteId,
        member: UserId,
        role: Role,
        by: UserId,
    ) -> Result<(), NoteError> {
        let notebook = self.clone();
        let sharing = tokio::spawn(async move { notebook.let_in(note, member, role, by).await });
        sharing.await.unwrap_or(Err(NoteError::Unavailable))
    }

    /// Takes a member's access to a note away that is at home here; goes on when the caller goes
    /// away.
    pub(super) async fn unshare_here(
        &self,
        note: NoteId,
        member: UserId,
        by: UserId,
    ) -> Result<bool, NoteError> {
        let notebook = self.clone();
        let unsharing = tokio::spawn(async move { notebook.turn_away(note, member, by).await });
        unsharing.await.unwrap_or(Err(NoteError::Unavailable))
    }

    async fn let_in(
        &self,
        note: NoteId,
        member: UserId,
        role: Role,
        by: UserId,
    ) -> Result<(), NoteError> {
        let turn = self.turn(&note).await?;
        let known = self.0.store.members(note.clone()).await?.members;
        let is_known = known.iter().any(|(known, _)| *known == member);
        if !is_known && known.len() >= self.0.members_max {
            return Err(NoteError::TooManyMembers { members_max: self.0.members_max });
        }
        let now = clock::wall();
        let shared = turn.store(self).share(note, member.clone(), role, now).await?;
        let data = serde_json::json!({
            "noteData": shared.note.to_json(),
            "timestamp": now,
            "fromUserId": by,
        });
        self.tell_member(member, "note_created_sync", &data).await
    }

    async fn turn_away(&self, note: NoteId, member: UserId, by: UserId) -> Result<bool, NoteError> {
        let turn = self.turn(&note).await?;
        let known = self.0.store.members(note.clone()).await?.members;
        if !known.iter().any(|(known, _)| *known == member) {
            return Ok(false);
        }
        let data = serde_json::json!({
            "noteId": note,
            "timestamp": clock::wall(),
            "fromUserId": by,
        });
        self.0.rooms.turn_out(&note, &member);
        // Told first: if what follows fails, the caller asks again, and the member is still one.
        self.tell_member(member.clone(), "note_deleted_sync", &data).await?;
        turn.store(self).unshare(note.clone(), member.clone()).await?;
        // Until now it may have come back.
        self.0.rooms.turn_out(&note, &member);
        Ok(true)
    }
}
