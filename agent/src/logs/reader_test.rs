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

#[test]
fn a_log_that_was_emptied_goes_on() {
    let mut log = Log::new();
    log.write("F", "a");
    log.write("F", "b");
    let mut reader = log.open(Options::default());
    assert_eq!(all(&mut reader), "a\nb\n");
    fs::OpenOptions::new().write(true).open(log.path()).unwrap().set_len(0).unwrap();
    assert_eq!(all(&mut reader), "");
    log.write("F", "c");
    assert_eq!(all(&mut reader), "c\n");
}

#[test]
fn binary_bytes_and_long_lines_come_whole() {
    let log = Log::new();
    let part: Vec<u8> = (0..16_384_u32).map(|n| if n % 251 == 10 { 0 } else { (n % 251) as u8 }).collect();
    let mut file = fs::File::create(log.path()).unwrap();
    for tag in ["P", "P", "F"] {
        file.write_all(format!("2026-01-31T12:00:00.123456789Z stderr {tag} ").as_bytes()).unwrap();
        file.write_all(&part).unwrap();
        file.write_all(b"\n").unwrap();
    }
    let mut reader = log.open(Options { timestamps: true, ..Options::default() });
    let mut got = Vec::new();
    while let Step::Data(bytes) = reader.next(1000).unwrap() {
        got.extend(bytes);
    }
    let expect = [b"2026-01-31T12:00:00.123456789Z ".as_slice(), &part, &part, &part, b"\n"].concat();
    assert!(got == expect, "{} bytes, not {}", got.len(), expect.len());
}

#[test]
fn since_across_files_keeps_nanoseconds() {
    let log = rotated();
    let check = |since: &str, expect: &str| {
        let options = Options { since: since.parse().ok(), ..Options::default() };
        assert_eq!(all(&mut log.open(options)), expect, "{since}");
    };
    check("2026-01-31T12:00:01Z", "b\nc\nd\ne\nf\n");
    check("2026-01-31T12:00:04.5Z", "f\n");
    check("2026-01-31T12:01:00Z", "");
    let both = Options { since: "2026-01-31T12:00:01Z".parse().ok(), tail: Some(2), ..Options::default() };
    assert_eq!(all(&mut log.open(both)), "e\nf\n", "of the last two those that are new enough");
}

/// A writer as fast as the disk, which rotates every few lines, and a follower beside it: nothing is lost but what was
/// rotated away before it could be read, nothing comes twice, and the order stays.
#[test]
fn follows_a_writer_that_rotates_without_loss_or_duplicates() {
    use std::sync::atomic::{AtomicU64, Ordering};
    const LINES: u64 = 3000;
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
    let log = Log::new();
    let path = log.path();
    let read = AtomicU64::new(0);
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..LINES {
                // At most two rotations ahead: three files are kept.
                while number.saturating_sub(read.load(Ordering::Acquire)) > 12 {
                    if begun.elapsed() > PATIENCE {
                        return;
                    }
                    std::thread::yield_now();
                }
                if number % 5 == 0 {
                    log.rotate();
                }
                let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
                writeln!(file, "2026-01-31T12:00:00.000000000Z stdout F {number}").unwrap();
            }
        });
        let mut reader = LogReader::open(&path, Options::default()).unwrap();
        let mut text = String::new();
        let mut next = 0;
        while next < LINES {
            assert!(begun.elapsed() < PATIENCE, "stuck before line {next}");
            if let Step::Data(bytes) = reader.next(64).unwrap() {
                text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
            while let Some((line, rest)) = text.split_once('\n') {
                assert_eq!(line, next.to_string());
                text = rest.to_owned();
                next += 1;
            }
            read.store(next, Ordering::Release);
        }
    });
}
