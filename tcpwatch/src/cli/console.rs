//! Where a command writes, and whether it may use colour and draw over what it wrote.

use std::io::{self, IsTerminal as _, Write};

use super::format::harmless;

/// Standard output and standard error, or what a test puts in their place.
pub struct Console<'a> {
    /// Standard output.
    pub out: Box<dyn Write + 'a>,
    /// Standard error.
    pub err: Box<dyn Write + 'a>,
    /// Whether to use colour.
    pub colour: bool,
    /// Whether standard output is a terminal, on which `--watch` draws over what it drew.
    pub terminal: bool,
}

impl Console<'_> {
    /// The process's own. Colour needs a terminal, and is off where NO_COLOR holds anything.
    #[must_use]
    pub fn stdio() -> Self {
        let terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            // One write a page: faster, and an interrupt does not leave half of one.
            out: Box::new(io::BufWriter::with_capacity(64 * 1024, io::stdout())),
            err: Box::new(io::stderr()),
            colour: terminal && !no_colour,
            terminal,
        }
    }

    /// One line on standard error.
    pub(super) fn complain(&mut self, message: &str) {
        // There is nobody to tell where standard error is gone.
        let _ = writeln!(self.err, "tcpwatch: {}", harmless(message));
    }

    /// One round of `--watch`: over the last one on a terminal, as far as it fits there, else
    /// below it.
    pub(super) fn draw(&mut self, page: &str) -> io::Result<()> {
        if self.terminal {
            // Home, each line with its rest erased and its excess not wrapped, then what is below:
            // nothing flickers, and the first lines stay in sight.
            self.out.write_all(b"\x1b[?7l\x1b[H")?;
            for line in page.lines().take(rows_but_one()) {
                writeln!(self.out, "{line}\x1b[K")?;
            }
            self.out.write_all(b"\x1b[J\x1b[?7h")?;
        } else {
            writeln!(self.out, "{page}")?;
        }
        self.out.flush()
    }
}

/// How many lines fit above the cursor's; all of them where the terminal does not say.
fn rows_but_one() -> usize {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 1 => usize::from(size.ws_row) - 1,
        _ => usize::MAX,
    }
}
