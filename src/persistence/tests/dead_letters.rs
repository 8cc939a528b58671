//! Dead letters by their messages.

use super::*;

fn letter(number: u128, body: &str, failed_at: i64) -> DeadLetter {
    DeadLetter {
        id: Uuid::from_u128(number),
        target: "commands".to_owned(),
        kind: "command".to_owned(),
        body: body.to_owned(),
        attempts: 5,
        last_error: "answered 500".to_owned(),
        created_at: Timestamp(1),
        failed_at: Timestamp(failed_at),
    }
}

impl Fixture {
    async fn save(&self, letters: Vec<DeadLetter>) {
        self.handle.port().dead_letters.save.send(SaveDeadLetters(letters)).await.unwrap();
        self.flush().await;
    }

    async fn flush(&self) {
        let (reply, done) = oneshot::channel();
        self.handle.port().flush.send(Flush(reply)).await.unwrap();
        done.await.unwrap();
    }

    async fn page(&self, after: Option<u128>, letters_max: usize, bytes_max: usize) -> Vec<u128> {
        let (reply, page) = oneshot::channel();
        let after = after.map(Uuid::from_u128);
        let list = ListDeadLetters { after, letters_max, bytes_max, reply };
        self.handle.port().dead_letters.list.send(list).await.unwrap();
        let page = page.await.unwrap().unwrap();
        let mut names: Vec<_> = page.letters.iter().map(|letter| letter.id.as_u128()).collect();
        // Shows that there is more.
        names.extend(page.more.then_some(0));
        names
    }

    async fn find(&self, number: u128) -> Option<DeadLetter> {
        let (reply, found) = oneshot::channel();
        let find = FindDeadLetter { id: Uuid::from_u128(number), reply };
        self.handle.port().dead_letters.find.send(find).await.unwrap();
        found.await.unwrap().unwrap()
    }

    async fn delete(&self, number: u128) -> bool {
        let (reply, deleted) = oneshot::channel();
        let delete = DeleteDeadLetter { id: Uuid::from_u128(number), reply };
        self.handle.port().dead_letters.delete.send(delete).await.unwrap();
        deleted.await.unwrap().unwrap()
    }
}

#[actix::test]
async fn a_letter_is_kept_as_it_was_until_it_is_deleted() {
    for fixture in fixtures().await {
        let kept = letter(7, "{\"data\":\"\\u0000 caf\u{e9}\"}", 20);
        fixture.save(vec![kept.clone()]).await;
        assert_eq!(fixture.find(7).await, Some(kept.clone()));
        fixture.save(vec![letter(7, "{}", 30)]).await;
        assert_eq!(fixture.find(7).await, Some(kept.clone()), "it stays as it is");

        let id = Uuid::from_u128(7);
        let fail = FailDeadLetter { id, error: "timed out".to_owned(), at: Timestamp(40) };
        fixture.handle.port().dead_letters.fail.send(fail).await.unwrap();
        fixture.flush().await;
        let failed = DeadLetter {
            attempts: 6,
            last_error: "timed out".to_owned(),
            failed_at: Timestamp(40),
            ..kept
        };
        assert_eq!(fixture.find(7).await, Some(failed));

        assert!(fixture.delete(7).await);
        assert!(!fixture.delete(7).await);
        assert_eq!(fixture.find(7).await, None);
    }
}

#[actix::test]
async fn letters_are_listed_oldest_first_a_page_at_a_time() {
    for fixture in fixtures().await {
        let letters = (1..=40).rev().map(|number| letter(number, "0123456789", 1)).collect();
        fixture.save(letters).await;
        assert_eq!(fixture.page(None, 3, 1_000).await, [1, 2, 3, 0]);
        assert_eq!(fixture.page(Some(38), 3, 1_000).await, [39, 40]);
        assert_eq!(fixture.page(Some(37), 3, 1_000).await, [38, 39, 40]);
        assert_eq!(fixture.page(Some(40), 3, 1_000).await, []);
        assert_eq!(fixture.page(None, 10, 25).await, [1, 2, 3, 0], "stops past its bytes");
        assert_eq!(fixture.page(Some(1), 10, 1).await, [2, 0], "at least one");
        assert_eq!(fixture.page(None, 100, 10_000).await, (1..=40).collect::<Vec<_>>());
    }
}

#[actix::test]
async fn letters_past_their_age_or_number_are_forgotten_oldest_first() {
    let retention = RetentionConfig { prune_interval_ms: 20, ..RetentionConfig::default() };
    for fixture in fixtures_with(&retention, 3).await {
        let now = crate::clock::wall();
        let too_old = now.minus_ms(retention.dead_letters_age_s * 1_000 + 1_000).0;
        let mut letters: Vec<_> = (1..=5).map(|n| letter(n, "{}", now.0 + n as i64)).collect();
        letters.push(letter(6, "{}", too_old));
        fixture.save(letters).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while fixture.page(None, 10, 1_000).await != [3, 4, 5] {
            assert!(tokio::time::Instant::now() < deadline, "not pruned");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
