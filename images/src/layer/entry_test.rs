use tar::{EntryType, Header};

use super::*;

fn header(kind: EntryType, path: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(size);
    header.set_mode(0o104_755);
    header.set_uid(1);
    header.set_gid(2);
    header.set_mtime(3);
    header
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|l| rest + l.to_string().len() == *l).unwrap();
        bytes.extend([format!("{length} {key}=").as_bytes(), value, b"\n"].concat());
    }
    bytes
}

fn entry(header: &Header, pax_records: &[(&str, &[u8])]) -> Result<Entry, UnpackError> {
    let mut extensions = Extensions::default();
    let bytes = pax(pax_records);
    if !bytes.is_empty() {
        let extension = super::tests::header(EntryType::XHeader, "x", bytes.len() as u64);
        assert!(extensions.take(&extension, &mut bytes.as_slice()).unwrap());
    }
    extensions.entry(header)
}

#[test]
fn paths_are_confined() {
    let check = |text: &str, expect: Result<&str, &str>| match (EntryPath::parse(text.as_bytes()), expect) {
        (Ok(path), Ok(expect)) => assert_eq!(path.as_text(), expect),
        (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
        (got, expect) => panic!("{text}: {got:?} is not {expect:?}"),
    };
    check("a/b", Ok("a/b"));
    check("./a//b/", Ok("a/b"));
    check("/etc/passwd", Ok("etc/passwd"));
    check("./", Ok("."));
    check("", Ok("."));
    check("..", Err("'..'"));
    check("a/../../b", Err("'..'"));
    check("/../a", Err("'..'"));
    check("a/..b/...", Ok("a/..b/..."));
    check(&"a".repeat(256), Err("255"));
    check(&"a/".repeat(3000), Err("4096"));
    check("a\0b", Err("zero byte"));
    assert!(EntryPath::parse(b"\xff").is_err());
}

#[test]
fn kinds() {
    let check = |kind: EntryType, path: &str, expect: &str| {
        let got = match entry(&header(kind, path, 0), &[("linkpath", b"/t")]) {
            Ok(entry) => format!("{} {:?}", entry.path.as_text(), entry.kind),
            Err(error) => error.to_string(),
        };
        assert!(got.contains(expect), "{got} does not say {expect}");
    };
    check(EntryType::Regular, "a", "a File");
    check(EntryType::Regular, "a/", "a Directory");
    check(EntryType::Directory, "./", ". Directory");
    check(EntryType::Symlink, "a", r#"a Symlink("/t")"#);
    check(EntryType::Symlink, "./", "is not a folder");
    check(EntryType::Link, "a", r#"a Hardlink(EntryPath(["t"]))"#);
    check(EntryType::Fifo, "a", "a Fifo");
    check(EntryType::Char, "etc/null", "is a character device");
    check(EntryType::Block, "sda", "is a block device");
    check(EntryType::Char, "dev/null", "dev/null Skip");
    check(EntryType::Char, "dev", "is a character device");
    check(EntryType::GNUSparse, "a", "sparse");
    check(EntryType::new(b'?'), "a", "unknown type");
    check(EntryType::Regular, "a/.wh.b", r#"a Whiteout("b")"#);
    check(EntryType::Regular, ".wh.b", r#". Whiteout("b")"#);
    check(EntryType::Regular, "a/.wh..wh..opq", "a Opaque");
    check(EntryType::Regular, "a/.wh..wh.plnk", "a Skip");
    check(EntryType::Regular, "a/.wh...", "whiteout of no file");
    check(EntryType::Regular, "a/.wh..", "whiteout of no file");
    check(EntryType::Regular, "a/.wh.", "whiteout of no file");
    check(EntryType::Regular, "a/.wh.b/c", "lies in a whiteout");
}

#[test]
fn pax_records_win_and_are_bounded() {
    let long = "n".repeat(200);
    let records: [(&str, &[u8]); 6] = [
        ("path", long.as_bytes()),
        ("uid", b"70000"),
        ("mtime", b"9.5"),
        ("SCHILY.xattr.user.a", b"1\n2\0"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.security.capability", b"\x01"),
    ];
    let got = entry(&header(EntryType::Regular, "short", 0), &records).unwrap();
    assert_eq!(got.path.as_text(), long);
    assert_eq!((got.meta.mode, got.meta.uid, got.meta.gid, got.meta.mtime), (0o4755, 70000, 2, 9));
    let names: Vec<&str> = got.meta.xattrs.keys().map(String::as_str).collect();
    assert_eq!(names, ["security.capability", "user.a"]);
    assert_eq!(got.meta.xattrs["user.a"], b"1\n2\0");

    let refused = |records: &[(&str, &[u8])], expect: &str| {
        let error = entry(&header(EntryType::Regular, "a", 5), records).unwrap_err().to_string();
        assert!(error.contains(expect), "{error} does not say {expect}");
    };
    refused(&[("path", b"../x")], "'..'");
    refused(&[("size", b"6")], "PAX records");
    refused(&[("uid", b"-1")], "owner");
    refused(&[("GNU.sparse.major", b"1")], "sparse");
    let mut extensions = Extensions::default();
    let huge = header(EntryType::GNULongName, "L", 1 << 30);
    assert!(extensions.take(&huge, &mut std::io::repeat(0)).unwrap_err().to_string().contains("more than"));
    let cut = header(EntryType::GNULongName, "L", 100);
    assert!(matches!(extensions.take(&cut, &mut b"abc".as_slice()), Err(UnpackError::Truncated)));
    for bad in ["5", "x a=b\n", "99 a=b\n", "3 a", "7 abcd\n", "0 a=b\n", "6 a=b\n"] {
        assert!(parse_pax(bad.as_bytes()).is_err() || bad == "6 a=b\n", "{bad}");
    }
}
