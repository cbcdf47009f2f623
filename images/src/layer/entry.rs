//! One file of a layer, as the tar archive tells it: its path confined, its PAX and GNU extensions applied, bounded.

use std::collections::BTreeMap;
use std::io::Read;

use tar::{EntryType, Header};

use crate::UnpackError;

/// The most bytes of one extension (long name, PAX records).
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// The longest path, as in Linux.
const MAX_PATH: usize = 4096;
/// The longest name in a path, as in Linux.
const MAX_NAME: usize = 255;
/// Attributes that may come from an image. Others would give it a say over the overlay (`trusted.overlay.*`) or over the
/// host's security modules.
const ALLOWED_XATTRS: [&str; 2] = ["user.", "security.capability"];

/// A relative path without `.`, `..` and empty names. Without any name it is the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryPath(Vec<String>);

impl EntryPath {
    /// A path of an archive. A leading slash counts for nothing; `..` is refused.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, UnpackError> {
        let text = String::from_utf8_lossy(bytes);
        let wrong = |reason| UnpackError::Path { path: text.chars().take(200).collect(), reason };
        if std::str::from_utf8(bytes).is_err() {
            return Err(wrong("is not UTF-8"));
        }
        if bytes.len() > MAX_PATH {
            return Err(wrong("is longer than 4096 bytes"));
        }
        let mut names = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            match name {
                ".." => return Err(wrong("has '..' in it")),
                name if name.len() > MAX_NAME => return Err(wrong("has a name longer than 255 bytes")),
                name if name.contains('\0') => return Err(wrong("has a zero byte in it")),
                name => names.push(name.to_owned()),
            }
        }
        Ok(Self(names))
    }

    /// The folder and the name in it; `None` of the root.
    pub(crate) fn split(&self) -> Option<(Self, &str)> {
        let (name, folder) = self.0.split_last()?;
        Some((Self(folder.to_vec()), name))
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    /// For system calls: `.` is the root.
    pub(crate) fn as_text(&self) -> String {
        if self.0.is_empty() { ".".into() } else { self.0.join("/") }
    }
}

/// What surrounds a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Meta {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink(String),
    Hardlink(EntryPath),
    Fifo,
    /// The file of this name in lower layers is gone.
    Whiteout(String),
    /// All files of lower layers in this folder are gone.
    Opaque,
    /// Means nothing here.
    Skip,
}

/// One file of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it lies; of a whiteout and an opaque mark: the folder.
    pub(crate) path: EntryPath,
    pub(crate) kind: Kind,
    pub(crate) meta: Meta,
}

/// Extensions that came before a file and belong to it.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: BTreeMap<String, Vec<u8>>,
}

impl Extensions {
    /// Takes an extension in; `false` where the archive's entry is a file of its own.
    pub(crate) fn take(&mut self, header: &Header, body: &mut impl Read) -> Result<bool, UnpackError> {
        let kind = header.entry_type();
        if !(kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions())
        {
            return Ok(false);
        }
        let size = header.entry_size().map_err(UnpackError::archive)?;
        if size > MAX_EXTENSION_BYTES {
            return Err(UnpackError::Extension {
                reason: format!("{size} bytes, more than {MAX_EXTENSION_BYTES}"),
            });
        }
        let mut bytes = Vec::new();
        body.take(size).read_to_end(&mut bytes).map_err(UnpackError::archive)?;
        if bytes.len() as u64 != size {
            return Err(UnpackError::Truncated);
        }
        let without_end = |bytes: Vec<u8>| bytes.into_iter().take_while(|&b| b != 0).collect();
        match kind {
            EntryType::GNULongName => self.path = Some(without_end(bytes)),
            EntryType::GNULongLink => self.link = Some(without_end(bytes)),
            EntryType::XHeader => self.pax.extend(parse_pax(&bytes)?),
            // Global headers hold comments (git writes the commit's id); nothing of them may change what follows.
            _ => {}
        }
        Ok(true)
    }

    /// The file that this header and the extensions before it describe.
    pub(crate) fn entry(self, header: &Header) -> Result<Entry, UnpackError> {
        let path = self.pax.get("path").or(self.path.as_ref()).cloned();
        let path = EntryPath::parse(&path.unwrap_or_else(|| header.path_bytes().into_owned()))?;
        self.check_size(header, &path)?;
        let link = self.pax.get("linkpath").or(self.link.as_ref()).cloned();
        let link =
            link.or_else(|| header.link_name_bytes().map(|bytes| bytes.into_owned())).unwrap_or_default();
        let meta = self.meta(header)?;
        let name = path.names().last().map_or("", String::as_str);
        if path.names().iter().rev().skip(1).any(|name| name.starts_with(".wh.")) {
            return Err(UnpackError::Path { path: path.as_text(), reason: "lies in a whiteout" });
        }
        if let (Some(target), Some((folder, _))) = (name.strip_prefix(".wh."), path.split()) {
            let kind = match target {
                ".wh..opq" => Kind::Opaque,
                // Other marks of AUFS.
                aufs if aufs.starts_with(".wh.") => Kind::Skip,
                "" | "." | ".." => {
                    return Err(UnpackError::Path {
                        path: path.as_text(),
                        reason: "is a whiteout of no file",
                    });
                }
                target => Kind::Whiteout(target.to_owned()),
            };
            return Ok(Entry { path: folder, kind, meta });
        }
        let special = |kind| UnpackError::Special { path: path.as_text(), kind };
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(symlink_target(&path, link)?),
            EntryType::Link => Kind::Hardlink(EntryPath::parse(&link)?),
            EntryType::Fifo => Kind::Fifo,
            // The runtime mounts a /dev of its own over these; old base images still carry them.
            EntryType::Char | EntryType::Block
                if path.names().first().is_some_and(|n| n == "dev") && path.names().len() > 1 =>
            {
                Kind::Skip
            }
            EntryType::Char => return Err(special("character device")),
            EntryType::Block => return Err(special("block device")),
            EntryType::GNUSparse => return Err(special("sparse file")),
            _ => return Err(special("file of unknown type")),
        };
        // Old tar writes folders as files whose names end in a slash.
        let slash = header.entry_type() == EntryType::Regular && header.path_bytes().ends_with(b"/");
        let kind =
            if slash || (path.names().is_empty() && kind == Kind::File) { Kind::Directory } else { kind };
        if path.names().is_empty() && kind != Kind::Directory {
            return Err(UnpackError::Path { path: "/".into(), reason: "is not a folder" });
        }
        Ok(Entry { path, kind, meta })
    }

    /// The archive's reader goes by the header; a PAX record that says something else would be read differently by others.
    fn check_size(&self, header: &Header, path: &EntryPath) -> Result<(), UnpackError> {
        if self.pax.keys().any(|key| key.starts_with("GNU.sparse")) {
            return Err(UnpackError::Special { path: path.as_text(), kind: "sparse file" });
        }
        let Some(size) = self.pax.get("size") else {
            return Ok(());
        };
        let said = std::str::from_utf8(size).ok().and_then(|text| text.parse::<u64>().ok());
        match header.entry_size() {
            Ok(size) if said == Some(size) => Ok(()),
            _ => Err(UnpackError::Path {
                path: path.as_text(),
                reason: "has a size in its PAX records that its header does not have",
            }),
        }
    }

    fn meta(&self, header: &Header) -> Result<Meta, UnpackError> {
        let fields = header.as_old();
        let number = |key: &str| self.pax.get(key).and_then(|v| std::str::from_utf8(v).ok());
        let id = |pax: Option<&str>, header: Result<u64, UnpackError>| match pax {
            Some(text) => text
                .parse::<u32>()
                .map_err(|_| UnpackError::Extension { reason: format!("owner {text:?} is no id") }),
            None => u32::try_from(header?)
                .map_err(|_| UnpackError::Extension { reason: "owner is larger than 32 bits".into() }),
        };
        let mtime = number("mtime").and_then(|text| text.split('.').next()?.parse::<i64>().ok());
        let xattrs = self.pax.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix("SCHILY.xattr.")?;
            ALLOWED_XATTRS
                .iter()
                .any(|allowed| name.starts_with(allowed))
                .then(|| (name.to_owned(), value.clone()))
        });
        Ok(Meta {
            mode: or_zero(&fields.mode, header.mode())? & 0o7777,
            uid: id(number("uid"), or_zero(&fields.uid, header.uid()))?,
            gid: id(number("gid"), or_zero(&fields.gid, header.gid()))?,
            mtime: mtime.or_else(|| i64::try_from(header.mtime().ok()?).ok()).unwrap_or(0),
            xattrs: xattrs.collect(),
        })
    }
}

/// A number of the header; an empty field is 0, as other readers have it.
fn or_zero<T: Default>(field: &[u8], number: std::io::Result<T>) -> Result<T, UnpackError> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(T::default());
    }
    number.map_err(UnpackError::archive)
}

/// Any text will do: it is followed only inside the container, or inside the layer's folder.
fn symlink_target(path: &EntryPath, link: Vec<u8>) -> Result<String, UnpackError> {
    let wrong = |reason| UnpackError::Path { path: path.as_text(), reason };
    let link = String::from_utf8(link).map_err(|_| wrong("links to what is not UTF-8"))?;
    if link.is_empty() || link.len() >= MAX_PATH || link.contains('\0') {
        return Err(wrong("links to a path that Linux does not take"));
    }
    Ok(link)
}

/// PAX records: `LENGTH KEY=VALUE\n`, where values may hold any byte.
fn parse_pax(mut bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, UnpackError> {
    let wrong = || UnpackError::Extension { reason: "PAX records do not parse".into() };
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|&b| b == b' ').ok_or_else(wrong)?;
        let length: usize =
            std::str::from_utf8(&bytes[..space]).ok().and_then(|t| t.parse().ok()).ok_or_else(wrong)?;
        let record = bytes.get(space + 1..length).ok_or_else(wrong)?;
        let (b'\n', record) = record.split_last().ok_or_else(wrong)? else {
            return Err(wrong());
        };
        let equals = record.iter().position(|&b| b == b'=').ok_or_else(wrong)?;
        let key = std::str::from_utf8(&record[..equals]).map_err(|_| wrong())?;
        records.insert(key.to_owned(), record[equals + 1..].to_vec());
        bytes = &bytes[length..];
    }
    Ok(records)
}

#[cfg(test)]
#[path = "entry_test.rs"]
mod tests;
