//! `tcpwatch metrics`: the text of `/metrics` as it is.

use super::request::{Body, Request};

/// Its flags: none.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// What to ask for.
    pub fn request(&self) -> Request {
        Request {
            path: "/metrics".to_owned(),
            body: Body::Text,
            watch: None,
        }
    }
}
