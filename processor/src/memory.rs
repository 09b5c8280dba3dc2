//! How the process asks the kernel for memory.

/// Has every page of this process be a small one, from now on.
///
/// The allocator asks for huge pages (2 MiB), which suits a heap that is used all over. Here many threads each touch a
/// little of their own: huge pages double the resident memory, and zeroing them is a tenth of the processor time.
///
/// # Errors
/// The kernel refuses; memory is larger then, and nothing else is different.
#[cfg(target_os = "linux")]
pub fn refuse_huge_pages() -> std::io::Result<()> {
    nix::sys::prctl::set_thp_disable(true).map_err(std::io::Error::from)
}

/// Elsewhere there is nothing to refuse.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn refuse_huge_pages() -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told() {
        refuse_huge_pages().unwrap();
        assert!(nix::sys::prctl::get_thp_disable().unwrap());
    }
}
