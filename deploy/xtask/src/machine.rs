//! A virtual machine: a kernel of Debian's, a root file system made here, QEMU. For what this machine's own kernel has not.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use crate::install;
use crate::shell::{read, root, run, step};

/// What booting one needs.
pub(crate) const PACKAGES: &[&str] =
    &["qemu-system-x86", "busybox-static", "iproute2", "nftables", "binutils"];

/// A kernel and its modules.
pub(crate) struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

/// Why there cannot be a machine here, if so.
pub(crate) fn missing() -> Option<&'static str> {
    (!cfg!(target_arch = "x86_64")).then_some("only x86-64 machines are made")
}

/// Debian's kernel for clouds, unpacked and not installed. Kept under `target/tools`.
pub(crate) fn kernel() -> anyhow::Result<Kernel> {
    let folder = root().join("target/tools/kernel");
    if !folder.join("lib/modules").exists() {
        fs::create_dir_all(&folder)?;
        let depends = || read(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]));
        let mut text = depends()?;
        if !text.contains("Depends:") {
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            text = depends()?;
        }
        let name = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        let name = name.context("linux-image-cloud-amd64 depends on no kernel")?;
        run(Command::new("apt-get").args(["download", "-qq", name]).current_dir(&folder))?;
        let package = install::only_file(&folder, ".deb")?;
        run(Command::new("dpkg").arg("-x").arg(package).arg(&folder))?;
    }
    let image = entries(&folder.join("boot"))?.into_iter().find(|path| name_of(path).starts_with("vmlinuz"));
    let modules = entries(&folder.join("lib/modules"))?.into_iter().next();
    let (image, modules) = image.zip(modules).context("the kernel's package holds no kernel")?;
    Ok(Kernel { image, modules })
}

/// A root file system in the making.
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// An empty one with busybox and the folders that programs expect.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let folder = root().join("target/tools").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        for dir in
            ["bin", "sbin", "usr/bin", "usr/sbin", "etc", "proc", "sys", "dev", "run", "tmp", "mnt", "new"]
        {
            fs::create_dir_all(folder.join(dir))?;
        }
        let files = Self { folder };
        files.program(Path::new("/bin/busybox"), "bin/busybox")?;
        let list = read(Command::new("/bin/busybox").arg("--list"))?;
        for tool in list.lines().filter(|tool| *tool != "busybox") {
            symlink("busybox", files.folder.join("bin").join(tool))?;
        }
        symlink("/bin/env", files.folder.join("usr/bin/env"))?;
        files.text("etc/passwd", "root:x:0:0:root:/:/bin/sh\n")?;
        files.text("etc/group", "root:x:0:\n")?;
        Ok(files)
    }

    /// Adds a program with the libraries that it is linked to.
    pub(crate) fn program(&self, from: &Path, to: &str) -> anyhow::Result<()> {
        let target = self.folder.join(to);
        if target.symlink_metadata().is_ok() {
            fs::remove_file(&target)?;
        }
        fs::copy(from, &target).with_context(|| format!("copy {}", from.display()))?;
        let libraries = Command::new("ldd").arg(from).output()?;
        for library in
            String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|w| w.starts_with('/'))
        {
            let to = self.folder.join(library.trim_start_matches('/'));
            fs::create_dir_all(to.parent().context("a library has a folder")?)?;
            fs::copy(library, to)?;
        }
        Ok(())
    }

    /// The same without what only a debugger reads.
    pub(crate) fn stripped(&self, from: &Path, to: &str) -> anyhow::Result<()> {
        self.program(from, to)?;
        run(Command::new("strip").arg(self.folder.join(to)))
    }

    /// Adds a file; a script can be executed.
    pub(crate) fn text(&self, to: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(to);
        fs::write(&path, text)?;
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
    }

    /// Adds all of the kernel's modules that these need, and their index.
    pub(crate) fn modules(&self, kernel: &Kernel, names: &[&str]) -> anyhow::Result<()> {
        let all = read(Command::new("find").arg(&kernel.modules).args(["-name", "*.ko*"]))?;
        let folder = self.folder.join("lib/modules").join(name_of(&kernel.modules));
        let mut wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut have = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            if !have.insert(name.clone()) {
                continue;
            }
            let named = |path: &&str| module_of(Path::new(path)) == name;
            // One that is not there is part of the kernel itself.
            let Some(path) = all.lines().find(named) else { continue };
            let to = folder.join(Path::new(path).strip_prefix(&kernel.modules)?);
            fs::create_dir_all(to.parent().context("a module has a folder")?)?;
            fs::copy(path, to)?;
            wanted.extend(depends(path)?);
        }
        run(Command::new("/bin/busybox")
            .arg("depmod")
            .arg("-b")
            .arg(&self.folder)
            .arg(name_of(&kernel.modules)))
    }

    /// Packs it as the kernel unpacks it at its start.
    pub(crate) fn pack(&self) -> anyhow::Result<PathBuf> {
        let path = self.folder.with_extension("cpio");
        let mut out = std::io::BufWriter::new(fs::File::create(&path)?);
        self.pack_folder(&self.folder, &mut out)?;
        entry(&mut out, "TRAILER!!!", 0, &[])?;
        out.flush()?;
        Ok(path)
    }

    fn pack_folder(&self, folder: &Path, out: &mut impl std::io::Write) -> anyhow::Result<()> {
        for path in entries(folder)? {
            let name = path.strip_prefix(&self.folder)?.to_string_lossy().into_owned();
            let data = path.symlink_metadata()?;
            let content = match () {
                () if data.is_symlink() => fs::read_link(&path)?.to_string_lossy().into_owned().into_bytes(),
                () if data.is_file() => fs::read(&path)?,
                () => Vec::new(),
            };
            entry(out, &name, data.mode(), &content)?;
            if data.is_dir() {
                self.pack_folder(&path, out)?;
            }
        }
        Ok(())
    }
}

/// One file of an archive in cpio's "newc" format: numbers of eight hexadecimal digits, all padded to four bytes.
fn entry(out: &mut impl std::io::Write, name: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let length = name.len() + 1;
    let fields = [0, mode, 0, 0, 1, 0, u32::try_from(content.len())?, 0, 0, 0, 0, u32::try_from(length)?, 0];
    let numbers: String = fields.iter().map(|field| format!("{field:08x}")).collect();
    let padding = |length: usize| vec![0; length.next_multiple_of(4) - length];
    write!(out, "070701{numbers}{name}\0")?;
    out.write_all(&padding(110 + length))?;
    out.write_all(content)?;
    out.write_all(&padding(content.len()))?;
    Ok(())
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut all = read.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    all.sort();
    Ok(all)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn module_of(path: &Path) -> String {
    name_of(path).split(".ko").next().unwrap_or_default().replace('-', "_")
}

/// What a module says that it needs: `depends=a,b` between zeros.
fn depends(path: &str) -> anyhow::Result<Vec<String>> {
    let bytes = fs::read(path)?;
    let text = bytes.split(|byte| *byte == 0).find_map(|part| part.strip_prefix(b"depends="));
    let text = text.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    Ok(text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}

/// A machine that says nothing for so long does not boot.
const SILENCE: Duration = Duration::from_secs(20);

/// Boots a machine and waits until it says `RESULT: CODE` on its console, or its time is up. Shows what it says.
///
/// With the processor's help where there is some that works: in a machine that is virtual itself it may not.
pub(crate) fn boot(kernel: &Kernel, files: &Path, options: &str, patience: Duration) -> anyhow::Result<i32> {
    if Path::new("/dev/kvm").exists() {
        match start(kernel, files, options, "kvm")?.wait(patience, SILENCE) {
            Ok(result) => return Ok(result),
            Err(Failed::Silent) => step("it does not boot with KVM; once more without, which takes longer"),
            Err(Failed::Later(error)) => return Err(error),
        }
    }
    match start(kernel, files, options, "tcg")?.wait(patience, patience) {
        Ok(result) => Ok(result),
        Err(Failed::Silent) => bail!("the machine said nothing within {patience:?}"),
        Err(Failed::Later(error)) => Err(error),
    }
}

/// Why there is no result.
enum Failed {
    /// It never said a word.
    Silent,
    Later(anyhow::Error),
}

/// A machine, ended when dropped.
struct Running {
    child: Child,
    lines: Option<mpsc::Receiver<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.lines = None;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn start(kernel: &Kernel, files: &Path, options: &str, accelerator: &str) -> anyhow::Result<Running> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", &format!("pc,accel={accelerator}"), "-cpu", "qemu64", "-m", "1024", "-smp", "2"]);
    qemu.args(["-display", "none", "-no-reboot", "-nic", "none", "-serial", "stdio", "-monitor", "none"]);
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(files);
    qemu.args(["-append", &format!("console=ttyS0 panic=-1 loglevel=1 {options}")]);
    let child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.context("cannot run qemu-system-x86_64")?;
    let console = child.stdout.take().context("the machine has a console")?;
    // No more than a console says between two looks; the reader waits then.
    let (to, lines) = mpsc::sync_channel(1024);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            if to.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    Ok(Running { child, lines: Some(lines), reader: Some(reader) })
}

impl Running {
    /// Waits for the result; for the first word no longer than `silence`.
    #[expect(clippy::print_stdout, reason = "a person reads along")]
    fn wait(self, patience: Duration, silence: Duration) -> Result<i32, Failed> {
        let begun = Instant::now();
        let mut spoke = false;
        loop {
            let end = begun + if spoke { patience } else { silence };
            let left = end.saturating_duration_since(Instant::now());
            let line =
                self.lines.as_ref().map_or(Err(RecvTimeoutError::Disconnected), |l| l.recv_timeout(left));
            match line {
                // What the firmware says is no word of the machine's.
                Ok(line) if line.starts_with("MACHINE: ") || spoke => {
                    spoke = true;
                    println!("    {line}");
                    if let Some(code) = line.strip_prefix("RESULT: ") {
                        let code = code.trim().parse().context("the machine's result");
                        return code.map_err(Failed::Later);
                    }
                }
                Ok(_) => {}
                Err(_) if !spoke => return Err(Failed::Silent),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failed::Later(anyhow!("the machine did not end within {patience:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failed::Later(anyhow!("the machine ended without a result")));
                }
            }
        }
    }
}
