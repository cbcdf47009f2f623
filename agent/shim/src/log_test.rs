use super::*;

const TIME: &str = "2026-01-01T00:00:00.000000000Z";

fn fixture(limits: LogLimits) -> (tempfile::TempDir, Source, Log) {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path().join("logs/0.log"), limits);
    (dir, Source::new(File::open("/dev/null").unwrap(), "stdout"), log)
}

fn read(dir: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(dir.path().join("logs").join(name)).unwrap_or_default()
}

#[test]
fn lines() {
    let check = |parts: &[&str], want: &[&str]| {
        let (dir, mut source, mut log) = fixture(LogLimits::default());
        for part in parts {
            source.take(part.as_bytes(), &mut log, TIME);
        }
        source.finish(&mut log, TIME);
        let want: String = want.iter().map(|line| format!("{TIME} stdout {line}\n")).collect();
        assert_eq!(read(&dir, "0.log"), want, "{parts:?}");
    };
    check(&["a\nb\n"], &["F a", "F b"]);
    check(&["a", "b\n", "c"], &["F ab", "F c"]);
    check(&["\n\n"], &["F ", "F "]);
    check(&[], &[]);
}

#[test]
fn a_long_line_comes_in_parts() {
    let (dir, mut source, mut log) = fixture(LogLimits::default());
    let long = "x".repeat(MAX_LINE * 2 + 5);
    source.take(long.as_bytes(), &mut log, TIME);
    source.take(b"end\n", &mut log, TIME);
    let text = read(&dir, "0.log");
    let tags: Vec<&str> = text.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(tags, ["P", "P", "F"]);
    let whole: String = text.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap()).collect();
    assert_eq!(whole, format!("{long}end"));
}

#[test]
fn rotated_and_capped() {
    let (dir, mut source, mut log) = fixture(LogLimits { max_bytes: 200, max_files: 3 });
    for number in 0..40 {
        source.take(format!("line {number:02}\n").as_bytes(), &mut log, TIME);
    }
    let sizes = ["0.log", "0.log.1", "0.log.2", "0.log.3"].map(|name| read(&dir, name).len());
    assert!(sizes[..3].iter().all(|&size| size > 0 && size <= 200) && sizes[3] == 0, "{sizes:?}");
    let kept = ["0.log.2", "0.log.1", "0.log"].map(|name| read(&dir, name)).concat();
    let numbers: Vec<u32> =
        kept.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers.last(), Some(&39));
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no line in between is lost: {numbers:?}");
    assert_eq!(log.dropped, 0);
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let (dir, mut source, mut log) = fixture(LogLimits::default());
    source.take(b"one\n", &mut log, TIME);
    let mut log = Log::new(dir.path().join("logs/0.log"), LogLimits::default());
    source.take(b"two\n", &mut log, TIME);
    assert_eq!(read(&dir, "0.log").lines().count(), 2);
}

#[test]
fn a_full_disk_drops_and_counts() {
    let mut log = Log::new("/dev/full".into(), LogLimits::default());
    let mut source = Source::new(File::open("/dev/null").unwrap(), "stderr");
    source.take(b"lost\n", &mut log, TIME);
    let entry = u64::try_from(format!("{TIME} stderr F lost\n").len()).unwrap();
    assert_eq!(log.dropped, entry);
    source.take(b"lost\n", &mut log, TIME);
    assert_eq!(log.dropped, 2 * entry);
}

#[test]
fn much_at_once_goes_into_several_files() {
    let (dir, mut source, mut log) = fixture(LogLimits { max_bytes: 200, max_files: 100 });
    let all: String = (0..50).map(|number| format!("{number:02}\n")).collect();
    source.take(all.as_bytes(), &mut log, TIME);
    let mut kept = Vec::new();
    for number in (0..100).rev() {
        let name = if number == 0 { "0.log".to_owned() } else { format!("0.log.{number}") };
        let text = read(&dir, &name);
        assert!(text.len() <= 200, "{name}: {}", text.len());
        kept.extend(text.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()));
    }
    assert_eq!(kept, (0..50).collect::<Vec<_>>());
    // One entry that is larger than a file may be is written all the same.
    source.take(&[b'x'; 500], &mut log, TIME);
    source.take(b"\n", &mut log, TIME);
    assert!(read(&dir, "0.log").len() > 500);
}

#[test]
fn binary_bytes_stay_as_they_are() {
    let (dir, mut source, mut log) = fixture(LogLimits::default());
    let bytes: Vec<u8> = (0..=255_u8).filter(|b| *b != b'\n').collect();
    source.take(&[bytes.as_slice(), b"\n"].concat(), &mut log, TIME);
    let written = fs::read(dir.path().join("logs/0.log")).unwrap();
    assert!(written.ends_with(&[b"stdout F ", bytes.as_slice(), b"\n"].concat()));
}
