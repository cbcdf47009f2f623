//! What a container of a pod with users of its own is made from, laid out where its root may look.
//!
//! libcontainer mounts by path as the pod's root, who may not pass through the agent's folders, nor read in a volume what is
//! the node's root's. So the child that creates the container first takes, as the node's root and in mounts of its own, a
//! copy of each mount, with owners mapped, and shows it in a small tmpfs over a folder that every system has. These mounts
//! end with that child and with the container: nobody else ever sees them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, LinuxNamespaceType, Mount, Root, Spec};
use serde::{Deserialize, Serialize};

use crate::kernel::idmap;
use crate::kernel::namespaces::IdRange;

/// Folders of the file system's root that making a container does not need.
const PLACES: [&str; 6] = ["/mnt", "/media", "/srv", "/opt", "/home", "/boot"];

/// libcontainer gives these to every container.
const USUAL: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/urandom", "/dev/random"];

/// Where the kernel can map no owners, and where the node's root stays nobody to the pod.
const UNMAPPED: &str = "/sys/fs/cgroup";

/// What to lay out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stage {
    place: PathBuf,
    users: PathBuf,
    first: u32,
    root: PathBuf,
    /// Each is mounted at its number.
    binds: Vec<Bind>,
    /// Those of the pod that the container joins.
    namespaces: Vec<PathBuf>,
    devices: Vec<LinuxDevice>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bind {
    source: PathBuf,
    destination: PathBuf,
}

fn root_of(place: &Path) -> PathBuf {
    place.join("root")
}

fn bind_of(place: &Path, number: usize) -> PathBuf {
    place.join(format!("bind-{number}"))
}

fn namespace_of(place: &Path, number: usize) -> PathBuf {
    place.join(format!("namespace-{number}"))
}

fn device_of(place: &Path, number: usize) -> PathBuf {
    place.join(format!("device-{number}"))
}

impl Stage {
    /// Takes from a spec what must be laid out, and leaves the places instead. `needed` are folders that creating the
    /// container needs.
    pub(crate) fn take(
        spec: &mut Spec,
        users: &Path,
        range: IdRange,
        needed: [&Path; 2],
    ) -> io::Result<Self> {
        let fits = |place: &&Path| place.is_dir() && !needed.iter().any(|folder| folder.starts_with(place));
        let place = PLACES.iter().map(Path::new).find(fits);
        let place =
            place.ok_or_else(|| io::Error::other(format!("none of {} is there", PLACES.join(", "))))?;
        let mut root = spec.root().clone().unwrap_or_default();
        let mut stage = Self {
            place: place.to_owned(),
            users: users.to_owned(),
            first: range.first,
            root: root.path().clone(),
            binds: Vec::new(),
            namespaces: Vec::new(),
            devices: Vec::new(),
        };
        root.set_path(root_of(place));
        spec.set_root(Some::<Root>(root));
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        for mount in &mut mounts {
            let source = mount.source().clone().unwrap_or_default();
            if mount.typ().as_deref() == Some("bind") && !source.starts_with(UNMAPPED) {
                mount.set_source(Some(bind_of(place, stage.binds.len())));
                stage.binds.push(Bind { source, destination: mount.destination().clone() });
            }
        }
        if let Some(linux) = spec.linux_mut().as_mut() {
            let given = linux.devices().clone().unwrap_or_default();
            linux.set_devices(None);
            // That of users is opened before root is given up.
            let joined = linux.namespaces_mut().iter_mut().flatten();
            for namespace in joined.filter(|namespace| namespace.typ() != LinuxNamespaceType::User) {
                if let Some(path) = namespace.path().clone() {
                    namespace.set_path(Some(namespace_of(place, stage.namespaces.len())));
                    stage.namespaces.push(path);
                }
            }
            stage.devices =
                given.into_iter().filter(|d| !USUAL.iter().any(|p| d.path() == Path::new(p))).collect();
        }
        mounts.extend(stage.devices.iter().enumerate().map(|(number, device)| {
            let mut mount = Mount::default();
            mount
                .set_destination(device.path().clone())
                .set_typ(Some("bind".to_owned()))
                .set_source(Some(device_of(place, number)))
                .set_options(Some(["bind", "nosuid", "noexec"].map(str::to_owned).to_vec()));
            mount
        }));
        spec.set_mounts(Some(mounts));
        Ok(stage)
    }

    /// Lays it out, in mounts that are this process's own from here on.
    pub(crate) fn lay(&self, bundle: &Path) -> Result<(), String> {
        let said = |what: &'static str| move |err: io::Error| format!("cannot {what}: {err}");
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| said("leave the node's mounts")(errno.into()))?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
            .map_err(|errno| said("leave the node's mounts")(errno.into()))?;
        let users = File::open(&self.users).map_err(said("open the pod's user namespace"))?;
        // All are taken before the place hides what may be below it.
        let root = idmap::copy(&bundle.join(&self.root)).map_err(said("take the root file system"))?;
        let binds: Vec<OwnedFd> =
            self.binds.iter().map(|bind| bind.take(&users)).collect::<Result<_, _>>()?;
        let namespaces = self.namespaces.iter().map(|path| idmap::copy(path)).collect::<io::Result<Vec<_>>>();
        let namespaces = namespaces.map_err(said("take the pod's namespaces"))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        mount(Some("tmpfs"), &self.place, Some("tmpfs"), flags, Some("mode=755,size=64k"))
            .map_err(|errno| said("mount a tmpfs")(errno.into()))?;
        let shown = said("lay out the container's mounts");
        self.show(&root, &binds, &namespaces).map_err(shown)?;
        self.make_devices().map_err(said("make devices"))
    }

    fn show(&self, root: &OwnedFd, binds: &[OwnedFd], namespaces: &[OwnedFd]) -> io::Result<()> {
        let at = root_of(&self.place);
        fs::create_dir(&at)?;
        idmap::attach(root, &at)?;
        for (number, tree) in binds.iter().enumerate() {
            let at = bind_of(&self.place, number);
            let is_folder = File::from(tree.try_clone()?).metadata()?.is_dir();
            if is_folder { fs::create_dir(&at) } else { File::create(&at).map(drop) }?;
            idmap::attach(tree, &at)?;
        }
        for (number, namespace) in namespaces.iter().enumerate() {
            let at = namespace_of(&self.place, number);
            File::create(&at)?;
            idmap::attach(namespace, &at)?;
        }
        Ok(())
    }

    /// The pod's root may make none, so it is given these: the node's own names for them stay the node's root's.
    fn make_devices(&self) -> io::Result<()> {
        for (number, device) in self.devices.iter().enumerate() {
            let at = device_of(&self.place, number);
            let kind = if device.typ() == LinuxDeviceType::B { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
            let part = |n: i64| u64::try_from(n).map_err(io::Error::other);
            mknod(
                &at,
                kind,
                Mode::from_bits_truncate(0o600),
                makedev(part(device.major())?, part(device.minor())?),
            )?;
            let owner = |id: Option<u32>| Some(self.first.saturating_add(id.unwrap_or(0)));
            chown(&at, owner(device.uid()), owner(device.gid()))?;
            fs::set_permissions(
                &at,
                fs::Permissions::from_mode(device.file_mode().unwrap_or(0o660) & 0o777),
            )?;
        }
        Ok(())
    }
}

impl Bind {
    fn take(&self, users: &File) -> Result<OwnedFd, String> {
        idmap::mapped(&self.source, users.as_fd()).map_err(|err| {
            let at = self.destination.display();
            match err.kind() {
                io::ErrorKind::InvalidInput => format!(
                    "hostUsers: false: the owners of the files mounted at {at} cannot be mapped: the file system of {} \
                     cannot do that on this kernel (ext4 and xfs need Linux 5.12, btrfs 5.15, overlayfs 5.19, tmpfs 6.3)",
                    self.source.display()
                ),
                _ => format!("cannot take what is mounted at {at} from {}: {err}", self.source.display()),
            }
        })
    }
}
