use std::fs;
use std::io::Write as _;

use super::*;

struct Log {
    dir: tempfile::TempDir,
    count: u64,
}

impl Log {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), count: 0 }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("0.log")
    }

    fn write(&mut self, tag: &str, text: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path()).unwrap();
        writeln!(file, "2026-01-31T12:00:{:02}.000000000Z stdout {tag} {text}", self.count % 60).unwrap();
        self.count += 1;
    }

    fn rotate(&self) {
        for number in (0..2).rev() {
            let _ = fs::rename(numbered(&self.path(), number), numbered(&self.path(), number + 1));
        }
    }

    fn open(&self, options: Options) -> LogReader {
        LogReader::open(&self.path(), options).unwrap()
    }
}

fn all(reader: &mut LogReader) -> String {
    let mut text = Vec::new();
    while let Step::Data(bytes) = reader.next(10).unwrap() {
        text.extend(bytes);
    }
    String::from_utf8(text).unwrap()
}

/// Six lines over three files.
fn rotated() -> Log {
    let mut log = Log::new();
    for line in ["a", "b", "c", "d", "e", "f"] {
        if ["c", "e"].contains(&line) {
            log.rotate();
        }
        log.write("F", line);
    }
    log
}

#[test]
fn whole_and_tail_across_files() {
    let log = rotated();
    for (tail, expect) in [
        (None, "a\nb\nc\nd\ne\nf\n"),
        (Some(0), ""),
        (Some(1), "f\n"),
        (Some(2), "e\nf\n"),
        (Some(3), "d\ne\nf\n"),
        (Some(5), "b\nc\nd\ne\nf\n"),
        (Some(6), "a\nb\nc\nd\ne\nf\n"),
        (Some(99), "a\nb\nc\nd\ne\nf\n"),
    ] {
        assert_eq!(all(&mut log.open(Options { tail, ..Options::default() })), expect, "{tail:?}");
    }
}

#[test]
fn tail_of_more_than_a_block() {
    let mut log = Log::new();
    let long = "x".repeat(5000);
    for number in 0..20 {
        log.write("F", &format!("{number}{long}"));
    }
    let text = all(&mut log.open(Options { tail: Some(7), ..Options::default() }));
    let firsts: Vec<&str> = text.lines().map(|l| l.trim_end_matches('x')).collect();
    assert_eq!(firsts, ["13", "14", "15", "16", "17", "18", "19"]);
}

#[test]
fn options() {
    let mut log = Log::new();
    log.write("F", "one");
    log.write("P", "two-");
    log.write("F", "three");
    log.write("F", "");
    log.write("F", "a b  c");
    let check = |options: Options, expect: &str| assert_eq!(all(&mut log.open(options)), expect);
    check(Options::default(), "one\ntwo-three\n\na b  c\n");
    check(
        Options { timestamps: true, limit_bytes: Some(70), ..Options::default() },
        "2026-01-31T12:00:00.000000000Z one\n2026-01-31T12:00:01.000000000Z two-",
    );
    check(Options { since: "2026-01-31T12:00:03Z".parse().ok(), ..Options::default() }, "\na b  c\n");
    let mut limited = log.open(Options { limit_bytes: Some(5), ..Options::default() });
    assert_eq!(limited.next(100).unwrap(), Step::Data(b"one\nt".to_vec()));
    assert_eq!(limited.next(100).unwrap(), Step::Done);
}

#[test]
fn follows_growth_and_rotation() {
    let mut log = Log::new();
    let mut reader = log.open(Options::default());
    assert_eq!(reader.next(100).unwrap(), Step::AtEnd, "not there yet");
    log.write("F", "a");
    assert_eq!(all(&mut reader), "a\n");
    log.write("F", "b");
    log.rotate();
    assert_eq!(all(&mut reader), "b\n", "written before the rotation, read after it");
    log.write("F", "c");
    assert_eq!(all(&mut reader), "c\n");
    log.write("F", "d");
    log.rotate();
    log.write("F", "e");
    log.rotate();
    log.write("F", "f");
    assert_eq!(all(&mut reader), "d\ne\nf\n", "two rotations between two reads");
}

#[test]
fn lines_that_are_no_log_lines_are_left_out() {
    let mut log = Log::new();
    fs::write(log.path(), "nonsense\n\n").unwrap();
    log.write("F", "good");
    assert_eq!(all(&mut log.open(Options::default())), "good\n");
    // Half a line waits for its end.
    let mut reader = log.open(Options { tail: Some(0), ..Options::default() });
    let mut file = fs::OpenOptions::new().append(true).open(log.path()).unwrap();
    file.write_all(b"2026-01-31T12:00:00.0Z stdout F ha").unwrap();
    assert_eq!(reader.next(100).unwrap(), Step::AtEnd);
    file.write_all(b"lf\n").unwrap();
    assert_eq!(all(&mut reader), "half\n");
}
