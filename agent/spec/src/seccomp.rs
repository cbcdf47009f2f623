//! The default seccomp profile: what container engines allow, as data.
//!
//! A system call that no rule names fails with `ENOSYS`, so that a C library newer than this list falls back to an older
//! call; one that is known and refused fails with `EPERM`, as programs expect. `clone3` is left to `ENOSYS` on purpose: its
//! flags lie in memory, where a filter cannot look.

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`.
const NAMESPACE_FLAGS: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// Virtual machine sockets reach the host around every network rule.
const AF_VSOCK: u64 = 40;

/// Harmless execution domains: Linux, Linux32, with and without UNAME26, and "tell me".
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Allowed to every container.
const ALLOWED: &str = "\
    _llseek _newselect accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64 arm_sync_file_range bind \
    breakpoint brk cachestat cacheflush capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64 \
    clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close \
    close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group \
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown \
    fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat \
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait \
    futex_waitv futex_wake futimesat get_robust_list get_thread_area get_tls getcpu getcwd getdents getdents64 \
    getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid \
    getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage \
    getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch \
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents \
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount \
    listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack \
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 \
    modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
    mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap \
    name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 \
    pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 \
    process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev \
    pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg \
    remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_flush_icache \
    riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn \
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max \
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile \
    sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address set_tls setfsgid \
    setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid \
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt \
    setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 \
    sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink \
    symlinkat sync sync_file_range sync_file_range2 syncfs sysinfo tee tgkill time timer_create timer_delete \
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime \
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname \
    unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write \
    writev";

/// Allowed to those who hold the capability that the kernel asks for anyway.
const ALLOWED_WITH: &[(Capability, &str)] = &[
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr \
         move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
         umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module finit_module init_module"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise"),
    (Capability::SysRawio, "ioperm iopl"),
    (Capability::SysTime, "clock_settime clock_settime64 settimeofday stime"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// Refused to everybody: `EPERM`, since programs know these calls and what that answer means.
const REFUSED: &str = "\
    add_key io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load keyctl migrate_pages \
    move_pages nfsservctl pivot_root request_key swapoff swapon sysfs _sysctl userfaultfd ustat vm86 vm86old";

fn words(list: &str) -> Vec<&str> {
    list.split_ascii_whitespace().collect()
}

fn rule(
    names: &[&str],
    action: LinuxSeccompAction,
    errno: Option<u32>,
    args: Vec<LinuxSeccompArg>,
) -> LinuxSyscall {
    let mut syscall = LinuxSyscall::default();
    syscall
        .set_names(names.iter().map(ToString::to_string).collect())
        .set_action(action)
        .set_errno_ret(errno)
        .set_args((!args.is_empty()).then_some(args));
    syscall
}

fn arg(index: usize, op: LinuxSeccompOperator, value: u64, value_two: Option<u64>) -> LinuxSeccompArg {
    let arg = LinuxSeccompArgBuilder::default().index(index).op(op).value(value);
    let arg = if let Some(two) = value_two { arg.value_two(two) } else { arg };
    // All that is required is set, so it builds.
    arg.build().unwrap_or_default()
}

fn architectures() -> Vec<Arch> {
    if cfg!(target_arch = "x86_64") {
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
    } else if cfg!(target_arch = "aarch64") {
        vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
    } else if cfg!(target_arch = "arm") {
        vec![Arch::ScmpArchArm]
    } else if cfg!(target_arch = "riscv64") {
        vec![Arch::ScmpArchRiscv64]
    } else {
        vec![Arch::ScmpArchNative]
    }
}

/// The profile for a container that holds these capabilities (its bounding set).
pub fn default_seccomp(capabilities: &Capabilities) -> LinuxSeccomp {
    use LinuxSeccompAction::ScmpActAllow as Allow;
    use LinuxSeccompAction::ScmpActErrno as Errno;
    use LinuxSeccompOperator::ScmpCmpEq as Equal;
    use LinuxSeccompOperator::ScmpCmpMaskedEq as MaskedEqual;
    use LinuxSeccompOperator::ScmpCmpNe as NotEqual;

    let mut rules = vec![rule(&words(ALLOWED), Allow, None, vec![])];
    rules.push(rule(&["socket"], Allow, None, vec![arg(0, NotEqual, AF_VSOCK, None)]));
    rules.push(rule(&["socket"], Errno, Some(EPERM), vec![arg(0, Equal, AF_VSOCK, None)]));
    for domain in PERSONALITIES {
        rules.push(rule(&["personality"], Allow, None, vec![arg(0, Equal, domain, None)]));
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        let all = NAMESPACE_FLAGS.iter().fold(0, |all, flag| all | flag);
        // In a masked comparison the first value is the mask, the second what must be left.
        rules.push(rule(&["clone"], Allow, None, vec![arg(0, MaskedEqual, all, Some(0))]));
        for flag in NAMESPACE_FLAGS {
            rules.push(rule(&["clone"], Errno, Some(EPERM), vec![arg(0, MaskedEqual, flag, Some(flag))]));
        }
    }
    let mut allowed: Vec<&str> = Vec::new();
    let mut refused = words(REFUSED);
    for (capability, names) in ALLOWED_WITH {
        if capabilities.contains(capability) {
            allowed.extend(words(names));
        }
    }
    for (_, names) in ALLOWED_WITH {
        // clone has its own rules above; clone3 answers ENOSYS.
        refused.extend(
            words(names)
                .into_iter()
                .filter(|name| !allowed.contains(name) && !matches!(*name, "clone" | "clone3")),
        );
    }
    refused.sort_unstable();
    refused.dedup();
    if !allowed.is_empty() {
        allowed.sort_unstable();
        allowed.dedup();
        rules.push(rule(&allowed, Allow, None, vec![]));
    }
    rules.push(rule(&refused, Errno, Some(EPERM), vec![]));

    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(Errno)
        .set_default_errno_ret(Some(ENOSYS))
        .set_architectures(Some(architectures()))
        .set_syscalls(Some(rules));
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(profile: &LinuxSeccomp, action: LinuxSeccompAction) -> Vec<String> {
        let rules = profile.syscalls().as_ref().unwrap();
        rules
            .iter()
            .filter(|r| r.action() == action && r.args().is_none())
            .flat_map(|r| r.names().clone())
            .collect()
    }

    #[test]
    fn what_a_capability_opens() {
        let check = |held: &[Capability], call: &str, allowed: bool, refused: bool| {
            let profile = default_seccomp(&held.iter().copied().collect());
            let has = |action| names(&profile, action).iter().any(|name| name == call);
            assert_eq!(has(LinuxSeccompAction::ScmpActAllow), allowed, "{call} allowed with {held:?}");
            assert_eq!(has(LinuxSeccompAction::ScmpActErrno), refused, "{call} refused with {held:?}");
        };
        check(&[], "read", true, false);
        check(&[], "mount", false, true);
        check(&[Capability::SysAdmin], "mount", true, false);
        check(&[], "clone3", false, false);
        check(&[Capability::SysAdmin], "clone3", true, false);
        check(&[], "chroot", false, true);
        check(&[Capability::SysChroot], "chroot", true, false);
        check(&[], "clock_settime", false, true);
        check(&[], "io_uring_setup", false, true);
        check(&[Capability::Syslog], "syslog", true, false);
    }

    #[test]
    fn no_call_is_both_allowed_and_refused() {
        let all = [&[][..], &[Capability::SysAdmin, Capability::SysChroot, Capability::Bpf][..]];
        for held in all {
            let profile = default_seccomp(&held.iter().copied().collect());
            let refused = names(&profile, LinuxSeccompAction::ScmpActErrno);
            for name in names(&profile, LinuxSeccompAction::ScmpActAllow) {
                assert!(!refused.contains(&name), "{name}");
            }
        }
    }
}
