//! What `ps` shows of a shim: it was forked, so it would look like the zygote.

use std::ffi::CString;
use std::fs;

/// Room for a title, as an environment variable of the zygote: the kernel shows its place as the arguments' continuation.
pub const ROOM: &str = "GANNET_TITLE";

/// Gives this process a title, where that can be done. The environment is lost.
pub(crate) fn set(title: &str) {
    if !move_arguments(title) {
        overwrite_arguments(title);
    }
}

/// The kernel lets the place of the arguments be moved by those with `CAP_SYS_RESOURCE`.
fn move_arguments(title: &str) -> bool {
    let Ok(title) = CString::new(title) else { return false };
    let length = title.as_bytes_with_nul().len();
    let start = title.into_raw() as usize;
    let set = |what: libc::c_int, address: usize| {
        let zero: libc::c_ulong = 0;
        // SAFETY: the text is never freed; the kernel only notes where it lies, and reads it with checks.
        unsafe { libc::prctl(libc::PR_SET_MM, what as libc::c_ulong, address, zero, zero) == 0 }
    };
    let (begin, end) = ((libc::PR_SET_MM_ARG_START, start), (libc::PR_SET_MM_ARG_END, start + length));
    // The end may never be before the start, not even in between.
    (set(begin.0, begin.1) && set(end.0, end.1)) || (set(end.0, end.1) && set(begin.0, begin.1))
}

/// Writes over the arguments and the environment that the kernel laid out, as servers have done for ever.
fn overwrite_arguments(title: &str) {
    for (name, _) in std::env::vars_os() {
        // SAFETY: this process has one thread; and nothing of the environment may be used from here on.
        unsafe { std::env::remove_var(name) };
    }
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<usize> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
        .unwrap_or_default();
    // proc(5): the fields 48 to 51, of which the first two were cut off.
    let Some(&[arguments, arguments_end, environment, end]) = fields.get(45..49) else { return };
    if arguments == 0 || arguments_end != environment || end <= arguments {
        return;
    }
    let mut text = vec![0; end - arguments];
    let length = title.len().min(text.len() - 1);
    text[..length].copy_from_slice(&title.as_bytes()[..length]);
    // SAFETY: the kernel just said that this is where it put arguments and environment, in one piece; they are ordinary
    // writable memory of this process, and nothing reads them any more.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), arguments as *mut u8, text.len()) };
}
