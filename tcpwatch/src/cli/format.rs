//! Values of the API's JSON as short text for people. What is unknown is `-`.

use serde_json::Value;

/// What stands for the unknown.
pub const UNKNOWN: &str = "-";

/// The text or number at `pointer`, else `-`; without anything that could steer a terminal.
pub fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => harmless(text),
        Some(Value::Null) | None => UNKNOWN.to_owned(),
        Some(other) => harmless(&other.to_string()),
    }
}

/// The seconds at `pointer` as a duration, else `-`.
pub fn seconds(value: &Value, pointer: &str) -> String {
    number(value, pointer).map_or_else(|| UNKNOWN.to_owned(), duration)
}

/// The number at `pointer`.
pub fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

/// `address:port` of the object at `pointer`, IPv6 in brackets; an unknown part is `*`, as in `ss`.
pub fn endpoint(value: &Value, pointer: &str) -> String {
    let part = |name: &str| match text(value, &format!("{pointer}/{name}")) {
        text if text == UNKNOWN => "*".to_owned(),
        text => text,
    };
    let (address, port) = (part("address"), part("port"));
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// `pid/name` of a connection's process, else `-`.
pub fn process(value: &Value) -> String {
    match text(value, "/process/pid") {
        pid if pid == UNKNOWN => pid,
        pid => format!("{pid}/{}", text(value, "/process/comm")),
    }
}

/// The namespace's name, else its inode number.
pub fn netns(value: &Value) -> String {
    match text(value, "/netns_name") {
        name if name == UNKNOWN => text(value, "/netns"),
        name => name,
    }
}

/// A moment without its fraction of a second.
pub fn time(value: &Value, pointer: &str) -> String {
    let text = text(value, pointer);
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// A duration to about three digits: `40us`, `0.4ms`, `25ms`, `127.8s`, `16m40s`, `5h03m`, `2d04h`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match seconds {
        _ if seconds <= 0.0 => "0s".to_owned(),
        _ if seconds < 0.0001 => format!("{:.0}us", seconds * 1e6),
        _ if seconds < 0.01 => format!("{:.1}ms", seconds * 1e3),
        _ if seconds < 0.1 => format!("{:.0}ms", seconds * 1e3),
        _ if seconds < 1000.0 => format!("{seconds:.1}s"),
        _ if whole < 3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ if whole < 86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// Bytes in the largest binary unit that keeps a whole part.
pub fn bytes(value: &Value, pointer: &str) -> String {
    let Some(mut amount) = number(value, pointer) else {
        return UNKNOWN.to_owned();
    };
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            let digits = usize::from(unit != "B");
            return format!("{amount:.digits$} {unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}

/// A process may name itself anything: what would steer the terminal or turn the writing around
/// is shown as an escape instead.
pub fn harmless(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .flat_map(|c| {
            let (escaped, plain) = if steers(c) {
                (Some(c.escape_default()), None)
            } else {
                (None, Some(c))
            };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_about_three_digits() {
        for (seconds, expected) in [
            (0.0, "0s"),
            (0.000_04, "40us"),
            (0.0004, "0.4ms"),
            (0.025, "25ms"),
            (0.25, "0.2s"),
            (3.2, "3.2s"),
            (127.8, "127.8s"),
            (1000.0, "16m40s"),
            (3661.0, "1h01m"),
            (190_000.0, "2d04h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(harmless("curl"), "curl");
        assert_eq!(harmless("naïve"), "naïve");
        assert_eq!(harmless("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(harmless("\u{202e}x"), "\\u{202e}x");
    }
}
