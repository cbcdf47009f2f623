//! Hostile and harmless layers, unpacked for real. As root, which the agent is.

use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;

use tar::{EntryType, Header};

use super::*;
use crate::Limits;

/// A tar that is written as it is told, with any path.
struct Layer(Vec<u8>);

impl Layer {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn add(mut self, kind: EntryType, path: &str, link: &str, body: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(body.len() as u64);
        header.set_mode(if kind == EntryType::Directory { 0o750 } else { 0o4711 });
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, body: &str) -> Self {
        self.add(EntryType::Regular, path, "", body.as_bytes())
    }

    fn dir(self, path: &str) -> Self {
        self.add(EntryType::Directory, path, "", b"")
    }

    fn symlink(self, path: &str, to: &str) -> Self {
        self.add(EntryType::Symlink, path, to, b"")
    }

    fn link(self, path: &str, to: &str) -> Self {
        self.add(EntryType::Link, path, to, b"")
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("layer")
    }

    fn unpack_as(&self, compressed: &[u8], diff_id: Digest, limits: Limits) -> Result<(), UnpackError> {
        let blob = self.dir.path().join("blob");
        std::fs::write(&blob, compressed).unwrap();
        let budget = Budget::new(limits.unpacked_bytes, limits.entries);
        let unpacked = unpack(&blob, &self.root(), &diff_id, &budget, limits);
        unpacked.map(|listing| assert_eq!(listing.damaged(&self.root()), None))
    }

    fn unpack(&self, layer: Layer) -> Result<(), UnpackError> {
        let bytes = layer.bytes();
        self.unpack_as(&bytes, Digest::of(&bytes), Limits::default())
    }

    /// Nothing outside the layer was made, changed or removed.
    fn check_outside(&self) {
        let names: Vec<_> = std::fs::read_dir(self.dir.path().join("outside"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(std::fs::read_to_string(self.dir.path().join("outside/secret")).unwrap(), "secret");
        assert_eq!(std::fs::metadata(self.dir.path().join("outside/secret")).unwrap().nlink(), 1);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_harmless_layer() {
    let room = Room::new();
    let layer = Layer::new()
        .dir("./")
        .dir("bin/")
        .file("bin/sh", "elf")
        .link("bin/ash", "bin/sh")
        .symlink("lib", "usr/lib")
        .dir("usr/lib")
        .file("lib/libc.so", "so")
        .file("deep/er/file", "x")
        .file("bin/sh2", "first")
        .file("bin/sh2", "second")
        .add(EntryType::Fifo, "pipe", "", b"")
        .add(EntryType::Char, "dev/null", "", b"");
    room.unpack(layer).unwrap();
    let root = room.root();
    let sh = std::fs::metadata(root.join("bin/sh")).unwrap();
    assert_eq!(
        (sh.mode() & 0o7777, sh.uid(), sh.gid(), sh.mtime(), sh.nlink()),
        (0o4711, 7, 8, 1_000_000, 2)
    );
    let bin = std::fs::metadata(root.join("bin")).unwrap();
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o750, 1_000_000));
    assert_eq!(std::fs::read_to_string(root.join("usr/lib/libc.so")).unwrap(), "so");
    assert_eq!(std::fs::read_link(root.join("lib")).unwrap(), PathBuf::from("usr/lib"));
    assert_eq!(std::fs::read_to_string(root.join("bin/sh2")).unwrap(), "second");
    assert_eq!(std::fs::metadata(root.join("deep")).unwrap().mode() & 0o7777, 0o755);
    assert!(std::fs::metadata(root.join("pipe")).unwrap().file_type().is_fifo());
    assert!(!root.join("dev/null").exists());
}

#[test]
fn hostile_layers_are_refused_or_confined() {
    let check = |layer: fn(&str) -> Layer, refused: Option<&str>| {
        let room = Room::new();
        let outside = room.dir.path().join("outside");
        let got = room.unpack(layer(outside.to_str().unwrap()));
        room.check_outside();
        match (got, refused) {
            (Ok(()), None) => {}
            (Err(error), Some(expect)) => {
                let text = format!(
                    "{error}: {}",
                    std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()
                );
                assert!(text.contains(expect), "{text} does not say {expect}");
            }
            (got, expect) => panic!("{got:?} is not {expect:?}"),
        }
    };
    check(|_| Layer::new().file("../outside/new", "x"), Some("'..'"));
    check(|_| Layer::new().file("a/../../outside/new", "x"), Some("'..'"));
    // Absolute paths lie inside.
    check(|out| Layer::new().file(&format!("{out}/new"), "x"), None);
    // A link out, and then a file behind it: resolved inside the layer, where it leads nowhere.
    check(|out| Layer::new().symlink("esc", out).file("esc/new", "x"), Some("exists"));
    check(|_| Layer::new().symlink("esc", "../outside").file("esc/new", "x"), Some("exists"));
    check(|_| Layer::new().dir("outside").symlink("esc", "../../outside").file("esc/new", "x"), None);
    check(|out| Layer::new().symlink("esc", out).file("esc/secret", "x"), Some("exists"));
    check(|out| Layer::new().symlink("a", out).symlink("b", "a").file("b/c", "x"), Some("exists"));
    check(|_| Layer::new().symlink("loop", "loop").file("loop/x", "x"), Some("symbolic links"));
    check(|_| Layer::new().symlink("p", "/proc/self/root").file("p/tmp/x", "x"), Some("exists"));
    // A file over a link replaces the link, never what it leads to.
    check(|out| Layer::new().symlink("esc", &format!("{out}/secret")).file("esc", "x"), None);
    check(|out| Layer::new().symlink("esc", out).dir("esc"), None);
    check(|out| Layer::new().link("hard", &format!("{out}/secret")), Some("cannot unpack"));
    check(|_| Layer::new().link("hard", "../outside/secret"), Some("'..'"));
    check(|out| Layer::new().symlink("esc", out).link("hard", "esc/secret"), Some("cannot unpack"));
    check(|out| Layer::new().symlink("esc", &format!("{out}/secret")).link("hard", "esc"), None);
    check(|_| Layer::new().dir("d").link("hard", "d"), Some("not a file"));
    check(|out| Layer::new().symlink("esc", out).file("esc/.wh.secret", ""), Some("exists"));
    check(|_| Layer::new().file(".wh...", ""), Some("whiteout of no file"));
    check(|_| Layer::new().add(EntryType::Char, "null", "", b""), Some("character device"));
    check(|_| Layer::new().add(EntryType::Block, "sda", "", b""), Some("block device"));
    check(|_| Layer::new().dir("d").file("d", "x"), Some("cannot unpack"));
    check(|_| Layer::new().file("f", "x").file("f/g", "x"), Some("cannot unpack"));
    check(|_| Layer::new().file("f", "x").dir("f").file("f/g", "x"), None);
}

#[test]
fn compressions_and_digests() {
    let layer = Layer::new().file("a", "x").bytes();
    let right = Digest::of(&layer);
    let small = Limits { unpacked_bytes: 1000, ..Limits::default() };
    let few = Limits { entries: 0, ..Limits::default() };
    let check = |compressed: &[u8], diff_id: Digest, limits: Limits, expect: &str| {
        let room = Room::new();
        let got =
            room.unpack_as(compressed, diff_id, limits).map_or_else(|e| e.to_string(), |()| "fine".into());
        assert!(got.contains(expect), "{got} does not say {expect}");
        if expect == "fine" {
            assert_eq!(std::fs::read_to_string(room.root().join("a")).unwrap(), "x");
        }
    };
    let zstd = zstd::encode_all(layer.as_slice(), 3).unwrap();
    for compressed in [layer.clone(), gzip(&layer), zstd.clone()] {
        check(&compressed, right, Limits::default(), "fine");
        check(&compressed, Digest::of(b"other"), Limits::default(), "uncompressed layer has digest");
        check(&compressed, right, small, "more than 1000 bytes");
        check(&compressed, right, few, "more than 0 files");
    }
    check(&gzip(&layer)[..60], right, Limits::default(), "a");
    check(&layer[..512], right, Limits::default(), "truncated");
    check(&zstd[..20], right, Limits::default(), "a");
    // A window of 128 MB would be memory of the gateway.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&layer).unwrap();
    check(&encoder.finish().unwrap(), right, Limits::default(), "archive is damaged");
}

#[test]
fn bombs_are_bounded() {
    let room = Room::new();
    let limits = Limits { unpacked_bytes: 10 << 20, ..Limits::default() };
    let mut header = Header::new_gnu();
    header.set_path("bomb").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.resize(64 << 20, 0);
    let got = room.unpack_as(&gzip(&tar), Digest::of(b""), limits);
    assert!(matches!(got, Err(UnpackError::TooLarge { limit }) if limit == 10 << 20), "{got:?}");
    // A bomb behind the archive's end, where nobody looks.
    let room = Room::new();
    let mut tail = Layer::new().file("a", "x").bytes();
    tail.resize(64 << 20, 0);
    let got = room.unpack_as(&gzip(&tail), Digest::of(&tail), limits);
    assert!(matches!(got, Err(UnpackError::TooLarge { .. })), "{got:?}");
}
