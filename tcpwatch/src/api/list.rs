//! The shape that every list answer shares, and `limit`.

use serde::Serialize;

use super::{Parameters, error::Error, query::Parameter};

/// The parameter `limit`.
pub const LIMIT: Parameter = Parameter::once(
    "limit",
    "how many to answer with, 0 to 100000; 1000 unless given",
);

const DEFAULT: usize = 1000;
const MAXIMUM: usize = 100_000;

/// The value of `limit`.
pub fn limit(parameters: &Parameters) -> Result<usize, Error> {
    let given = parameters.one("limit", |value| match value.parse() {
        Ok(limit) if limit <= MAXIMUM => Ok(limit),
        _ => Err(format!("{value} is not a number from 0 to {MAXIMUM}")),
    })?;
    Ok(given.unwrap_or(DEFAULT))
}

/// How much of a list an answer holds.
#[derive(Debug, Serialize)]
pub struct Extent {
    /// RFC 3339.
    pub generated_at: Option<String>,
    /// How many matched.
    pub total: usize,
    /// How many of them are in the answer.
    pub returned: usize,
    /// Whether `limit` cut it.
    pub truncated: bool,
}

impl Extent {
    /// Cuts `matches` to `limit` and says so.
    pub fn cut<T>(generated_at: Option<String>, matches: &mut Vec<T>, limit: usize) -> Self {
        let total = matches.len();
        matches.truncate(limit);
        Self {
            generated_at,
            total,
            returned: matches.len(),
            truncated: matches.len() < total,
        }
    }
}
