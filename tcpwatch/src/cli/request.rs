//! What a command asks for and how its answer is shown.

use std::{fmt::Display, time::Duration};

use form_urlencoded::Serializer;
use serde_json::Value;

/// How an answer is shown.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// As it came.
    Text,
    /// As JSON, with indentation.
    Json,
    /// For people: from the parsed answer and whether to use colour.
    Page(fn(&Value, bool) -> String),
}

/// One question to the daemon.
#[derive(Debug)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// How the answer is shown.
    pub body: Body,
    /// Ask again after each of these intervals, until interrupted.
    pub watch: Option<Duration>,
}

impl Request {
    /// A question whose answer is JSON, shown as such with `--json` and else by `show`.
    pub fn new(path: String, json: bool, show: fn(&Value, bool) -> String) -> Self {
        Self {
            path,
            body: if json { Body::Json } else { Body::Page(show) },
            watch: None,
        }
    }
}

/// Path and query under construction.
pub struct Query {
    path: &'static str,
    pairs: Serializer<'static, String>,
}

impl Query {
    /// A query of the route at `path`.
    pub fn new(path: &'static str) -> Self {
        Self {
            path,
            pairs: Serializer::new(String::new()),
        }
    }

    /// Adds the parameter once for each value.
    pub fn add<T: Display>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        for value in values {
            self.pairs.append_pair(name, &value.to_string());
        }
        self
    }

    /// The path, with the query where there is one.
    pub fn finish(mut self) -> String {
        let query = self.pairs.finish();
        if query.is_empty() {
            self.path.to_owned()
        } else {
            format!("{}?{query}", self.path)
        }
    }
}
