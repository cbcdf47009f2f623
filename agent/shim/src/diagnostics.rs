//! What went wrong inside libcontainer, and in a process that is about to become a container, told through a pipe.
//!
//! libcontainer turns most causes into words such as "failed syscall"; the cause itself is only in its log events. So a
//! child that calls it writes its error events to a pipe, one line each; the pipe is closed by executing the program. A line
//! that starts with [`EXEC`] is what the user should read, and nothing else.

use std::fmt::{self, Write as _};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// How a line begins that says why a program cannot be executed.
pub(crate) const EXEC: &str = "exec: ";

/// Longer lines are cut.
const MAX_LINE: usize = 1024;

/// More text than this is not kept by the shim.
pub(crate) const MAX_TEXT: usize = 8 * 1024;

/// Writes error events of this process to a descriptor.
pub(crate) struct ToPipe(RawFd);

/// From now on error events of this process go to this descriptor, which must stay open.
pub(crate) fn install(fd: &impl AsRawFd) {
    // It can only be set once a process, and a child calls this once.
    let _ = tracing::subscriber::set_global_default(ToPipe(fd.as_raw_fd()));
}

/// Writes one line, in one piece, or not at all.
pub(crate) fn write_line(fd: RawFd, line: &str) {
    let end = line.floor_char_boundary(MAX_LINE);
    let line = format!("{}\n", line[..end].replace('\n', " "));
    // SAFETY: whoever made the descriptor's number known keeps it open until the program is executed.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let _ = nix::unistd::write(fd, line.as_bytes());
}

/// What to tell the user: the line meant for him, else the first event, which is nearest to the cause, and the error.
pub(crate) fn explain(error: &str, text: &str) -> String {
    if let Some(line) = text.lines().find(|line| line.starts_with(EXEC)) {
        return line.to_owned();
    }
    // An error that names the system's own is as near to the cause as can be.
    let cause = text.lines().next().filter(|_| !error.contains("os error"));
    match cause {
        Some(cause) if !error.is_empty() => format!("{error}: {cause}"),
        Some(cause) => cause.to_owned(),
        None => error.to_owned(),
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}

impl Subscriber for ToPipe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::ERROR)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        write_line(self.0, line.0.trim_end());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_words() {
        let check = |error: &str, text: &str, want: &str| assert_eq!(explain(error, text), want);
        check("failed syscall", "", "failed syscall");
        check("failed syscall", "mount err=EPERM\nlater\n", "failed syscall: mount err=EPERM");
        check("", "mount err=EPERM\n", "mount err=EPERM");
        check("open: No such file (os error 2)", "open err=ENOENT\n", "open: No such file (os error 2)");
        check("failed", "noise\nexec: \"x\": permission denied\n", "exec: \"x\": permission denied");
    }
}
