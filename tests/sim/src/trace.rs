//! What happened, line by line: hashed always, the end of it kept for the report of a failure, all of it on demand.

use std::collections::VecDeque;
use std::fmt;

/// Lines that a failure shows.
const TAIL: usize = 60;

/// How much of a trace is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The last lines.
    Tail,
    /// Everything.
    All,
    /// Everything is printed at once.
    Print,
}

/// The trace of a run.
#[derive(Debug)]
pub struct Trace {
    keep: Keep,
    lines: VecDeque<String>,
    hash: u128,
    count: u64,
}

impl Trace {
    /// An empty trace.
    pub fn new(keep: Keep) -> Self {
        Self { keep, lines: VecDeque::new(), hash: 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, count: 0 }
    }

    /// Adds a line.
    pub fn say(&mut self, millis: u64, what: fmt::Arguments<'_>) {
        let line = format!("{:>9}.{:03} {what}", millis / 1000, millis % 1000);
        for byte in line.bytes() {
            self.hash =
                (self.hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        self.count += 1;
        if self.keep == Keep::Print {
            eprintln!("{line}");
        }
        if self.keep != Keep::All && self.lines.len() == TAIL {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Names everything that happened.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// How many lines there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lines that were kept.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
