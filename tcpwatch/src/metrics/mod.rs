//! `/metrics`: the Prometheus text of a snapshot.
//!
//! Owns the names, labels and HELP texts, and is the only place that knows Prometheus. Nothing is
//! kept between two calls: every value comes from the snapshot, whose counters the kernel counts.
//!
//! A new family is a function in the file of its subject; a new subject is a file and a row in
//! `GROUPS`.
#![forbid(unsafe_code)]

mod agent;
mod connects;
mod family;
mod process;
mod queues;
mod resets;
mod retransmits;
mod sockets;
mod transitions;

use prometheus::TextEncoder;

use self::family::Family;
use crate::model::Snapshot;

/// What the text is, for the header Content-Type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every group of families, in the order of the text.
const GROUPS: &[fn(&Snapshot) -> Vec<Family>] = &[
    transitions::families,
    sockets::families,
    connects::families,
    retransmits::families,
    resets::families,
    queues::families,
    agent::families,
    process::families,
];

/// The encoder refused a family.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics as Prometheus text: {0}")]
pub struct RenderError(#[from] prometheus::Error);

/// The snapshot in Prometheus' text format, version 0.0.4.
///
/// # Errors
/// [`RenderError`] when the encoder refuses a family, which means a bug in this module.
pub fn render(snapshot: &Snapshot) -> Result<String, RenderError> {
    // A family without a sample (nothing known yet) is left out: the encoder refuses it.
    let families: Vec<_> = GROUPS
        .iter()
        .flat_map(|group| group(snapshot))
        .filter_map(Family::into_proto)
        .collect();
    let mut text = String::with_capacity(64 * 1024);
    TextEncoder::new().encode_utf8(&families, &mut text)?;
    Ok(text)
}
