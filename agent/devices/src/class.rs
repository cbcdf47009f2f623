//! A class of devices, as the configuration says it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::pattern::Pattern;

/// What the names of the resources begin with.
pub const PREFIX: &str = "devices.gannet.dev/";
/// More pods than a node runs cannot share a unit.
const MOST_SHARES: u32 = 1000;
const MOST_PATHS: usize = 64;

/// Units that are as good as each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceClass {
    pub(crate) name: String,
    pub(crate) paths: Vec<Pattern>,
    pub(crate) usb: Option<UsbId>,
    pub(crate) together: bool,
    pub(crate) share: u32,
    pub(crate) permissions: String,
    pub(crate) container_path: Option<PathBuf>,
}

/// `idVendor:idProduct` of a USB device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsbId {
    pub(crate) vendor: u16,
    pub(crate) product: u16,
}

/// Why a class cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// No DNS label.
    #[error(
        "name {name:?} is no DNS label: 1 to 63 lower-case letters, digits and '-', starting and ending with a letter or digit"
    )]
    Name {
        /// As it was given.
        name: String,
    },
    /// Neither paths nor a USB id.
    #[error("paths is empty: at least one path such as \"/dev/ttyUSB*\", or usb = \"VVVV:PPPP\", is needed")]
    Nothing,
    /// Both.
    #[error("paths and usb are both given: one of them says which devices are meant")]
    Both,
    /// Too many of them.
    #[error("paths has {count} entries, at most {MOST_PATHS} are allowed")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Not absolute, with `..`, or with a pattern that cannot be.
    #[error("path {path:?} is not valid: {reason}")]
    Path {
        /// As it was given.
        path: String,
        /// What would be right.
        reason: &'static str,
    },
    /// Not `VVVV:PPPP`.
    #[error("usb {text:?} is not VVVV:PPPP in hexadecimal digits, as lsusb prints it")]
    Usb {
        /// As it was given.
        text: String,
    },
    /// No letters of `rwm`.
    #[error("permissions {text:?} is not made of the letters r, w and m, each at most once")]
    Permissions {
        /// As it was given.
        text: String,
    },
    /// None, or too many.
    #[error("share {share} is not between 1 and {MOST_SHARES}")]
    Share {
        /// As it was given.
        share: u32,
    },
    /// A path of the container that cannot be.
    #[error("container_path {path:?} is not a path below /dev without '..'")]
    ContainerPath {
        /// As it was given.
        path: String,
    },
}

impl DeviceClass {
    /// A class whose units are the device nodes that these patterns find, one unit a node, each for one pod.
    ///
    /// # Errors
    /// The name or a path is not valid.
    pub fn new(name: &str, paths: &[String]) -> Result<Self, ClassError> {
        let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ends = name.bytes().next().is_some_and(label) && name.bytes().last().is_some_and(label);
        if !ends || name.len() > 63 || !name.bytes().all(|b| label(b) || b == b'-') {
            return Err(ClassError::Name { name: name.to_owned() });
        }
        if paths.len() > MOST_PATHS {
            return Err(ClassError::TooMany { count: paths.len() });
        }
        let pattern =
            |path: &String| path.parse().map_err(|reason| ClassError::Path { path: path.clone(), reason });
        Ok(Self {
            name: name.to_owned(),
            paths: paths.iter().map(pattern).collect::<Result<_, _>>()?,
            usb: None,
            together: false,
            share: 1,
            permissions: "rw".to_owned(),
            container_path: None,
        })
    }

    /// All that the patterns find is one unit, which is there only where each of them finds something.
    #[must_use]
    pub fn together(mut self, together: bool) -> Self {
        self.together = together;
        self
    }

    /// Instead of paths: USB devices of this make, as nodes of `/dev/bus/usb`.
    ///
    /// # Errors
    /// The id is not valid.
    pub fn usb(mut self, text: &str) -> Result<Self, ClassError> {
        self.usb = Some(text.parse()?);
        Ok(self)
    }

    /// So many pods may have a unit at the same time.
    ///
    /// # Errors
    /// None, or too many.
    pub fn share(mut self, share: u32) -> Result<Self, ClassError> {
        if !(1..=MOST_SHARES).contains(&share) {
            return Err(ClassError::Share { share });
        }
        self.share = share;
        Ok(self)
    }

    /// How many pods may share a unit where nobody counts them.
    pub const ANY_SHARE: u32 = MOST_SHARES;

    /// What containers may do with the nodes: letters of `rwm`.
    ///
    /// # Errors
    /// Other letters.
    pub fn permissions(mut self, text: &str) -> Result<Self, ClassError> {
        let once = |c: char| text.matches(c).count() <= 1;
        if text.is_empty() || !text.chars().all(|c| "rwm".contains(c) && once(c)) {
            return Err(ClassError::Permissions { text: text.to_owned() });
        }
        self.permissions = text.to_owned();
        Ok(self)
    }

    /// Where the first node appears in the container; further ones have a number behind it. With a `/` at its end it is a
    /// folder, in which nodes keep their names.
    ///
    /// # Errors
    /// The path is not valid.
    pub fn container_path(mut self, path: &str) -> Result<Self, ClassError> {
        let given = Path::new(path);
        let plain = given.components().all(|c| !matches!(c, std::path::Component::ParentDir));
        let below_dev = given.strip_prefix("/dev").is_ok_and(|rest| rest != Path::new(""));
        if !below_dev || !plain || path.contains('\0') {
            return Err(ClassError::ContainerPath { path: path.to_owned() });
        }
        self.container_path = Some(path.into());
        Ok(self)
    }

    /// Checks what only the whole can be wrong in.
    ///
    /// # Errors
    /// The class names no devices.
    pub fn finish(self) -> Result<Self, ClassError> {
        match (self.paths.is_empty(), self.usb) {
            (true, None) => Err(ClassError::Nothing),
            (false, Some(_)) => Err(ClassError::Both),
            _ => Ok(self),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The resource that pods ask for.
    pub fn resource(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }
}

impl FromStr for UsbId {
    type Err = ClassError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |hex: &str| {
            let digits = hex.len() == 4 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            u16::from_str_radix(hex, 16).ok().filter(|_| digits)
        };
        let id = text.split_once(':').and_then(|(v, p)| Some(Self { vendor: part(v)?, product: part(p)? }));
        id.ok_or_else(|| ClassError::Usb { text: text.to_owned() })
    }
}

impl fmt::Display for UsbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused() {
        let paths = |p: &[&str]| p.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let class = |name: &str, p: &[&str]| DeviceClass::new(name, &paths(p)).and_then(DeviceClass::finish);
        for name in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
            assert!(matches!(class(name, &["/dev/null"]), Err(ClassError::Name { .. })), "{name}");
        }
        for path in ["dev/null", "", "/dev/../etc/passwd", "/dev/[a", "/dev/a\0b", "/"] {
            assert!(matches!(class("a", &[path]), Err(ClassError::Path { .. })), "{path}");
        }
        assert_eq!(class("a", &[]), Err(ClassError::Nothing));
        let ok = class("modbus", &["/dev/ttyUSB*"]).unwrap();
        assert_eq!(ok.resource(), "devices.gannet.dev/modbus");
        assert!(
            ok.clone().share(0).is_err() && ok.clone().share(1001).is_err() && ok.clone().share(3).is_ok()
        );
        for permissions in ["", "x", "rr", "rwmx"] {
            assert!(ok.clone().permissions(permissions).is_err(), "{permissions}");
        }
        assert!(ok.clone().permissions("rwm").is_ok());
        for path in ["dev", "/", "/dev/../b", "", "/dev", "/dev/", "/srv/x"] {
            assert!(ok.clone().container_path(path).is_err(), "{path}");
        }
        for usb in ["", "1d50", "1d50:60", "1d50:606g", "+d50:606f"] {
            assert!(ok.clone().usb(usb).is_err(), "{usb}");
        }
        assert_eq!(ok.usb("1D50:606f").and_then(DeviceClass::finish), Err(ClassError::Both));
        assert_eq!("1d50:606F".parse::<UsbId>().unwrap().to_string(), "1d50:606f");
    }
}
