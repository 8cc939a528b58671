//! Copying SQLite's journal (its write-ahead log) into the database without holding up commits.
//!
//! A checkpoint of thousands of pages takes about as long as ten commits, and by default it runs
//! within one of them. Here a thread of its own copies a little of the journal at a time while commits
//! go on, and syncs that: the sync of much at once would hold up those of commits on the same disk.
//!
//! Only when nothing is left to copy does SQLite begin the journal anew, and one that grows for ever
//! makes each commit dearer. So when it is long the writer copies what was added last, between two
//! groups.
//!
//! It begins anew in the same file, and what is written there lies across the pages of the file. Where the
//! system has put those out of its memory, a commit would read each from disk first, one after the other.
//! So the thread has what is written next read ahead.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Integer;

use super::connection::{Opener, StoreConnection, StoreSetupError, on_backend};
use super::group::Write;
use super::messages::{AppendEvent, SaveFloors, SaveSessions, StoreError};
use crate::protocol::EventContent;

/// Bytes of a page.
const PAGE: usize = 4_096;

/// Pages, by a rough count, after which the thread copies what there is.
const COPY_AFTER: usize = 1_000;

/// Pages from which on the journal is to begin anew.
const LONG: i32 = 12_000;

/// Bytes of a page in the journal, with its header (<https://www.sqlite.org/fileformat2.html#walformat>).
const FRAME: u64 = 24 + PAGE as u64;

/// Bytes of the journal that are read ahead; when about half of them are written that is done again.
const AHEAD: u64 = 16 * 1_024 * 1_024;

/// Bytes that Linux reads when it is asked once, if nobody changed its settings: it may read no more.
#[cfg(target_os = "linux")]
const READ_AT_ONCE: u64 = 128 * 1_024;

/// So few pages are left to the writer.
const REST: i32 = 64;

/// How often the thread tries to leave no more than that.
const PASSES_MAX: u32 = 4;

/// The thread's priority (0 is the ordinary one, 19 the lowest): it must not hold up who commits.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// What the writer knows of the thread, which ends when this is dropped.
pub(super) struct Journal {
    written: usize,
    /// Whether what is left is the writer's to copy.
    is_copied: Arc<AtomicBool>,
    /// None once it ends.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The database, to be synced. Closing it ends the locks that SQLite has on it for this process, on
    /// any connection: it is closed last.
    _file: Option<Arc<File>>,
}

/// What SQLite says of its journal after a checkpoint, in pages; −1 where there is none, or others are
/// at it.
#[derive(QueryableByName)]
struct Copied {
    #[diesel(sql_type = Integer)]
    log: i32,
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

impl Copied {
    fn left(&self) -> i32 {
        self.log - self.checkpointed
    }
}

impl Journal {
    /// Starts the thread, where the database is SQLite's. This is dropped after all other connections
    /// that write.
    ///
    /// # Errors
    /// When there can be no thread, or the database cannot be opened.
    pub(super) fn start(opener: &Opener) -> Result<Option<Self>, StoreSetupError> {
        if !opener.is_sqlite() {
            return Ok(None);
        }
        // One word may wait: it says no more than that there is something to copy.
        let (wake, wakes) = sync_channel(1);
        let is_copied = Arc::new(AtomicBool::new(false));
        let file = opener.file().map(File::open).transpose();
        let file = file.map_err(|error| StoreSetupError::Open(error.to_string()))?.map(Arc::new);
        let copier = Copier::new(opener, file.clone());
        let copied = Arc::clone(&is_copied);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || copier.run(&wakes, &copied))?;
        let (wake, thread) = (Some(wake), Some(thread));
        Ok(Some(Self { written: 0, is_copied, wake, thread, _file: file }))
    }

    /// Takes note of about so many pages that were written, and copies what is left of the journal when
    /// that is due: few pages, but all of them are synced, which takes a slow disk its time.
    pub(super) fn wrote(&mut self, pages: usize, connection: &mut StoreConnection) {
        self.written += pages;
        if self.written >= COPY_AFTER {
            self.written = 0;
            // A full queue holds the same word; without the thread SQLite itself copies, at 32,000 pages.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
        if !self.is_copied.swap(false, Ordering::Relaxed) {
            return;
        }
        match checkpoint("PASSIVE", connection) {
            // Somebody reads in it, or the thread is at it: the next group tries again.
            Ok(Copied { log, checkpointed }) if log < 0 || checkpointed < log => {
                self.is_copied.store(true, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(error) => {
                log::warn!("the end of the database's journal cannot be copied yet: {error}");
            }
        }
    }
}

/// How many pages these may be, about.
pub(super) fn pages(writes: &[Write]) -> usize {
    let of_write = |write: &Write| match write {
        Write::Append(append) => append.events.iter().map(pages_of).sum(),
        Write::SaveFloors(SaveFloors(floors)) => floors.len(),
        Write::SaveSessions(SaveSessions(records)) => records.len(),
        _ => 1,
    };
    writes.iter().map(of_write).sum()
}

/// How many pages an event may be, about; at least one.
pub(super) fn pages_of(event: &AppendEvent) -> usize {
    let EventContent { data, args, .. } = &*event.content;
    let bytes: usize = [data, args].into_iter().flatten().map(|json| json.get().len()).sum();
    1 + bytes / PAGE
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.wake = None;
        // Its connection must be closed before another hub may have the database.
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) {
            log::warn!("the thread that copies the database's journal panicked");
        }
    }
}

/// The thread.
struct Copier {
    opener: Opener,
    connection: Option<StoreConnection>,
    /// None for a database in memory.
    file: Option<Arc<File>>,
    ahead: Ahead,
}

impl Copier {
    fn new(opener: &Opener, file: Option<Arc<File>>) -> Self {
        let journal = opener.file().map(|database| journal_of(&database));
        let ahead = Ahead { journal, file: None, read: 0..0 };
        Self { opener: opener.clone(), connection: None, file, ahead }
    }

    fn run(mut self, wakes: &Receiver<()>, is_copied: &AtomicBool) {
        step_back();
        while wakes.recv().is_ok() {
            match self.copy() {
                Ok(true) => is_copied.store(true, Ordering::Relaxed),
                Ok(false) => {}
                Err(error) => log::warn!("the database's journal cannot be copied yet: {error}"),
            }
        }
    }

    /// Copies what there is, and says whether what is left is the writer's to copy.
    fn copy(&mut self) -> Result<bool, StoreError> {
        let connection = match &mut self.connection {
            Some(open) => open,
            None => {
                let opened = self.opener.open();
                self.connection.insert(opened.map_err(|e| StoreError::Database(e.to_string()))?)
            }
        };
        let log = checkpoint("PASSIVE", connection)?.log;
        self.ahead.of(log);
        // SQLite does this where nothing was committed meanwhile; the rest would be the writer's to sync.
        let synced = self.file.as_ref().map(|file| file.sync_data()).transpose();
        synced.map_err(|error| StoreError::Database(error.to_string()))?;
        if log < LONG {
            return Ok(false);
        }
        for _ in 1..PASSES_MAX {
            // Only looks.
            if checkpoint("NOOP", connection)?.left() <= REST {
                break;
            }
            checkpoint("PASSIVE", connection)?;
        }
        self.ahead.of(0);
        Ok(true)
    }
}

/// What is read ahead of the journal's file.
struct Ahead {
    /// None for a database in memory.
    journal: Option<PathBuf>,
    /// None until it was needed: SQLite makes it with the first write.
    file: Option<File>,
    /// Bytes that are asked for.
    read: Range<u64>,
}

impl Ahead {
    /// Has read what follows so many pages, unless that was asked for.
    fn of(&mut self, pages: i32) {
        let Ok(pages) = u64::try_from(pages) else { return };
        let at = pages * FRAME;
        if self.read.contains(&at) && self.read.contains(&(at + AHEAD / 2)) {
            return;
        }
        if self.file.is_none() {
            self.file = self.journal.as_ref().and_then(|path| File::open(path).ok());
        }
        let Some(file) = &self.file else { return };
        self.read = at..at + AHEAD;
        read_ahead(file, at, AHEAD);
    }
}

/// Asks for bytes of a file to be read from disk, and does not wait for them, where the system can.
fn read_ahead(file: &File, at: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    for at in (at..at + bytes).step_by(READ_AT_ONCE as usize) {
        let bytes = std::num::NonZeroU64::new(READ_AT_ONCE);
        if let Err(error) = rustix::fs::fadvise(file, at, bytes, rustix::fs::Advice::WillNeed) {
            log::debug!("the database's journal is not read ahead: {error}");
            return;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, at, bytes);
}

/// SQLite's journal of a database: beside the file itself, where the path is a link to it.
fn journal_of(database: &Path) -> PathBuf {
    let file = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut name = file.into_os_string();
    name.push("-wal");
    PathBuf::from(name)
}

/// Lowers the priority of this thread, where threads have their own.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        let thread = rustix::thread::gettid();
        if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
            log::debug!("the database's journal is copied at the ordinary priority: {error}");
        }
    }
}

/// Copies as much as can be without waiting for anybody; NOOP only looks.
fn checkpoint(mode: &str, connection: &mut StoreConnection) -> QueryResult<Copied> {
    let statement = sql_query(format!("PRAGMA wal_checkpoint({mode})"));
    on_backend!(connection, inner => statement.get_result(inner))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use diesel::connection::SimpleConnection;

    use super::*;
    use crate::clock;
    use crate::config::DatabaseConfig;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn opener(folder: &tempfile::TempDir) -> Opener {
        let url = format!("sqlite://{}", folder.path().join("hub.db").display());
        Opener::new(&DatabaseConfig { url, ..DatabaseConfig::default() }).unwrap()
    }

    #[test]
    fn a_journal_that_is_written_to_all_the_time_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let opener = opener(&folder);
        let mut writer = opener.open().unwrap();
        // SQLite itself copies nothing.
        writer
            .batch_execute("PRAGMA wal_autocheckpoint = 0; CREATE TABLE pages (page BLOB)")
            .unwrap();
        let mut journal = Journal::start(&opener).unwrap().unwrap();
        let (started, mut longest) = (clock::now(), 0);
        loop {
            writer
                .batch_execute(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
                     INSERT INTO pages SELECT zeroblob(4000) FROM n",
                )
                .unwrap();
            journal.wrote(100, &mut writer);
            let length = checkpoint("NOOP", &mut writer).unwrap().log;
            if length < longest {
                break;
            }
            longest = length;
            assert!(clock::now() - started < DEADLINE, "it has {length} pages");
        }
        assert!(longest >= LONG, "it began anew with {longest} pages");
    }

    #[test]
    fn a_short_journal_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = opener(&folder).open().unwrap();
        writer.batch_execute("CREATE TABLE pages (page BLOB)").unwrap();
        let mut copier = Copier::new(&opener(&folder), None);
        assert!(!copier.copy().unwrap());
        assert!(checkpoint("NOOP", &mut writer).unwrap().log > 0);
    }

    #[test]
    fn the_journal_of_a_link_lies_beside_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("hub.db");
        std::fs::write(&file, "").unwrap();
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(journal_of(&link), file.with_file_name("hub.db-wal"));
    }

    #[test]
    fn what_follows_in_the_journal_is_read_ahead_once() {
        let folder = tempfile::tempdir().unwrap();
        let opener = opener(&folder);
        let mut ahead = Copier::new(&opener, None).ahead;
        ahead.of(0);
        assert_eq!(ahead.read, 0..0, "there is no journal yet");
        let mut writer = opener.open().unwrap();
        writer.batch_execute("CREATE TABLE pages (page BLOB)").unwrap();
        ahead.of(0);
        assert_eq!(ahead.read, 0..AHEAD);
        let half = i32::try_from(AHEAD / 2 / FRAME).unwrap();
        ahead.of(half);
        assert_eq!(ahead.read, 0..AHEAD);
        ahead.of(half + 1);
        let at = u64::try_from(half + 1).unwrap() * FRAME;
        assert_eq!(ahead.read, at..at + AHEAD);
        // It began anew.
        ahead.of(3);
        assert_eq!(ahead.read, 3 * FRAME..3 * FRAME + AHEAD);
        ahead.of(-1);
        assert_eq!(ahead.read, 3 * FRAME..3 * FRAME + AHEAD, "there is none");
    }
}
