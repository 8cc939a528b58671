//! A keep-alive HTTP connection.

use super::link::Link;
use super::piece::Framing;

pub(crate) struct Http(Link);

impl Http {
    pub(crate) async fn connect(port: u16) -> Self {
        Self(Link::connect(port, Framing::Http).await)
    }

    /// Posts every body to its path at once, and waits for all the answers.
    ///
    /// # Panics
    /// When one is refused.
    pub(crate) async fn post_all(&mut self, token: &str, posts: &[(String, String)]) {
        let mut requests = Vec::new();
        for (path, body) in posts {
            requests.extend(request("POST", path, token, body).into_bytes());
        }
        self.0.send(&requests).await;
        for _ in posts {
            let (status, text) = self.answer().await;
            assert!(status < 300 && !text.contains("\"detail\""), "{status} {text}");
        }
    }

    /// One request, and its answer.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
    ) -> (u16, String) {
        self.0.send(request(method, path, token, body).as_bytes()).await;
        self.answer().await
    }

    async fn answer(&mut self) -> (u16, String) {
        let take = |piece: super::piece::Piece<'_>| {
            let status = String::from_utf8_lossy(piece.reply).parse().unwrap();
            (status, String::from_utf8_lossy(piece.body).into_owned())
        };
        self.0.next(take).await
    }
}

fn request(method: &str, path: &str, token: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
