//! What it costs to move 2 MiB from private to shared without conversion in place, over what it costs with it.
//!
//! | side | what is in it |
//! |---|---|
//! | copy | on this machine's own kernel: 2 MiB are copied out of a real guest memory file (it can be mapped and is shared: the private side of two backings, as if the host might read it) into memory of a memory file that is there already, then the hole in the source frees its 512 pages |
//! | in place | on the provider, the whole path: front, leases (private: revoked; shared: announced), the file's record, 512 frames that lie apart |
//!
//! Both are times on this machine. The provider's platform is a model that enforces nothing: the zap of page tables, the flush of
//! TLBs and what firmware takes are in neither side; the copy has no conversion of attributes in it either. So this says what not
//! copying saves, not how long a conversion takes on hardware.

#[cfg(not(target_os = "linux"))]
pub(crate) fn times() {
    println!("TENURE case gmem.copy_over_inplace_2m skip guest memory files are Linux's");
}

#[cfg(target_os = "linux")]
pub(crate) use linux::times;

#[cfg(target_os = "linux")]
mod linux {
    use crate::conversion::{APART, Host, PAGES};
    use crate::{SAMPLES, figure, median};
    use core::num::NonZeroU32;
    use core::time::Duration;
    use std::hint::black_box;
    use std::sync::Arc;
    use std::time::Instant;
    use tenure_abi::gmem::{CreateFlags, VmType};
    use tenure_abi::{AddressWidth, ContentMode, Error, FrameRange, Gfn, Located};
    use tenure_abi::{PageSize, Visibility, VmHandle, VmSlot};
    use tenure_host::convert::{Backing, Front, Request, Stretch};
    use tenure_host::gmem::{File, FileId, Node, Options, SliceNodes, Tracking};
    use tenure_host::lease::{AtDeadline, Leases, Patience};
    use tenure_host::linux::{Failed, GuestMemory, Kvm};
    use tenure_host::platform::{Phase, Rule, Unenforced};

    const BYTES: usize = (PAGES as usize) << 12;

    /// Prints the figures, or why there are none.
    pub(crate) fn times() {
        let copied = match copy() {
            Ok(copied) => copied,
            Err(failed) => {
                println!(
                    "TENURE case gmem.copy_over_inplace_2m skip no guest memory file can be shared here: {failed}"
                );
                return;
            }
        };
        let converted = in_place();
        figure("gmem.copy_2m", copied / 1000.0, "us");
        figure("gmem.inplace_2m", converted, "ns");
        figure("gmem.copy_over_inplace_2m", copied / converted, "ratio");
    }

    /// Nanoseconds of copying 2 MiB out of a file and freeing its pages.
    fn copy() -> Result<f64, Failed> {
        let vm = Kvm::open()?.create_vm(VmType::DEFAULT)?;
        let source = vm.create_gmem(BYTES, CreateFlags::MMAP | CreateFlags::INIT_SHARED)?;
        let target = GuestMemory::memfd(BYTES)?;
        let mut times = [0.0; SAMPLES];
        for time in &mut times {
            // A guest's data, on both sides backed and mapped before the clock starts.
            for page in 0..BYTES / 4096 {
                source.store(page << 12, 7);
                target.store(page << 12, 0);
            }
            let (from, to) = (source.address() as *const u8, target.address() as *mut u8);
            let start = Instant::now();
            // SAFETY: both mappings are `BYTES` long, apart from each other, and live until the end of this function; no
            // reference to them is ever made and nobody else touches them.
            unsafe { core::ptr::copy_nonoverlapping(from, to, BYTES) };
            source.discard(0, BYTES as u64)?;
            *time = start.elapsed().as_secs_f64() * 1e9;
            assert_eq!((source.load(0), target.load(BYTES - 4096)), (Some(0), Some(7)), "not copied, or not freed");
        }
        times.sort_by(f64::total_cmp);
        Ok(times[SAMPLES / 2])
    }

    /// A file of the provider behind a front.
    struct Provided<'f>(File<'f, Host, Unenforced<'f, Host>, SliceNodes<'f>, 4>);

    impl Backing for Provided<'_> {
        type File = ();

        fn find(&self, gfn: Gfn) -> Option<Stretch<()>> {
            let page = gfn.number().checked_sub(PAGES).filter(|&page| page < PAGES)?;
            let gfns = FrameRange::new(gfn, PAGES - page, AddressWidth::MAX).ok()?;
            Some(Stretch { gfns, file: (), offset: page << 12 })
        }

        fn rule(&self, (): &(), to: Visibility, mode: ContentMode) -> Rule {
            self.0.rule(self.0.all(), to, mode)
        }

        fn is(&self, stretch: &Stretch<()>, to: Visibility) -> bool {
            self.0.pages(stretch.offset, stretch.gfns.count() << 12).is_ok_and(|pages| self.0.is(pages, to))
        }

        fn convert(&self, stretch: &Stretch<()>, to: Visibility, mode: ContentMode) -> Result<(), Located<Error>> {
            self.0.convert(self.0.pages(stretch.offset, stretch.gfns.count() << 12)?, to, mode)
        }
    }

    /// Nanoseconds of one conversion of 2 MiB in place: half of one there and back.
    fn in_place() -> f64 {
        let host = Host::new(APART);
        let platform = Unenforced::new(&host);
        let mut nodes = vec![Node::ZERO; 16];
        let options = Options { initially: Visibility::Shared, tracking: Tracking::File, largest: PageSize::Size4K };
        let nodes = SliceNodes::new(&mut nodes);
        let file = File::new(FileId(1), BYTES as u64, options, &host, &platform, nodes).expect("a file");
        let guest = VmHandle::new(VmSlot::new(1).expect("a slot"), NonZeroU32::MIN);
        let first = Gfn::new(PAGES).expect("a frame");
        file.bind(guest, first, file.all(), Phase::Running).expect("a binding");
        file.allocate(file.all()).expect("frames");
        for page in 0..PAGES {
            file.host_fault(page << 12, black_box).expect("a mapping");
        }
        let leases = Arc::new(Leases::new());
        let patience = Patience { leases, patience: Duration::from_secs(1), at_deadline: AtDeadline::Refuse };
        let front = Front::new(Provided(file), patience);
        let gfns = FrameRange::new(first, PAGES, AddressWidth::MAX).expect("a range");
        let mut to = Visibility::Shared;
        median(100, || {
            to = if to == Visibility::Shared { Visibility::Private } else { Visibility::Shared };
            front.convert(black_box(Request { gfns, to }), ContentMode::Unspecified).expect("nobody holds it");
        })
    }
}
