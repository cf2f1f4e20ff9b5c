//! Files of a VM of this machine, one all private, one all shared.

use core::time::Duration;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use tenure_abi::gmem::{Capability, CreateFlags, VmType};
use tenure_abi::{AddressWidth, ContentMode, Error, FrameRange, Gfn, Located, Visibility};
use tenure_host::convert::{Backing, Front, Stretch};
use tenure_host::lease::{AtDeadline, Leases, Patience};
use tenure_host::linux::{GuestMemory, Kvm};
use tenure_host::platform::Rule;
use tenure_host::vm_memory::{Region, Untouchable};
use vm_memory::{Bytes, GuestAddress, GuestMemoryRegion, GuestRegionCollection, MemoryRegionAddress as At};

/// The first guest frame.
const G: u64 = 0x300;
const BYTES: usize = 0x4000;
/// Set in the environment of the process that touches private memory by hand.
const TOUCH: &str = "TENURE_TOUCH_PRIVATE";
/// What ends it.
const SIGBUS: i32 = 7;

/// A test: the error is what the machine lacks. Whatever goes wrong after that is a panic, and a failure.
type Test = fn() -> Result<(), String>;

/// A file that stays as it was made.
struct Fixed(Visibility);

impl Backing for Fixed {
    type File = ();

    fn find(&self, gfn: Gfn) -> Option<Stretch<()>> {
        let page = gfn.number().checked_sub(G).filter(|&page| page < BYTES as u64 >> 12)?;
        let gfns = FrameRange::new(gfn, (BYTES as u64 >> 12) - page, AddressWidth::MAX).ok()?;
        Some(Stretch { gfns, file: (), offset: page << 12 })
    }

    fn rule(&self, (): &(), _: Visibility, _: ContentMode) -> Rule {
        Rule::Refused
    }

    fn is(&self, _: &Stretch<()>, to: Visibility) -> bool {
        to == self.0
    }

    fn convert(&self, _: &Stretch<()>, _: Visibility, _: ContentMode) -> Result<(), Located<Error>> {
        Err(Error::NotSupported.into())
    }
}

/// Memory of a new file, all private or all shared; else why there can be none here.
fn memory(visibility: Visibility) -> Result<Arc<GuestMemory>, String> {
    let kvm = Kvm::open().map_err(|failed| failed.to_string())?;
    let vm = kvm.create_vm(VmType::DEFAULT).map_err(|failed| failed.to_string())?;
    let flags = match visibility {
        Visibility::Private => CreateFlags::MMAP,
        Visibility::Shared => CreateFlags::MMAP | CreateFlags::INIT_SHARED,
    };
    let offered = vm.check(Capability::GUEST_MEMFD_FLAGS).map_err(|failed| failed.to_string())?;
    if !CreateFlags::from_bits_retain(offered.into()).contains(flags) {
        return Err(format!("this kernel's guest memory files have the flags {offered:#x}, not {:#x}", flags.bits()));
    }
    // From here on everything has to work.
    Ok(vm.create_gmem(BYTES, flags).expect("a file with flags that the kernel offers"))
}

fn region(visibility: Visibility) -> Result<Region<Fixed, Arc<Leases>>, String> {
    let memory = memory(visibility)?;
    let leases = Arc::new(Leases::new());
    let patience = Patience { leases, patience: Duration::ZERO, at_deadline: AtDeadline::Refuse };
    let front = Arc::new(Front::new(Fixed(visibility), patience));
    Ok(Region::new(front, Gfn::new(G).expect("a frame"), memory, Duration::ZERO).expect("whole pages"))
}

/// Without the check: this process would end, so another one does it.
fn a_touch_of_a_private_page_ends_the_process() -> Result<(), String> {
    drop(memory(Visibility::Private)?);
    let program = std::env::current_exe().expect("this program");
    let ended = Command::new(program).env(TOUCH, "1").status().expect("this program starts");
    assert_eq!(ended.signal(), Some(SIGBUS), "{ended}");
    Ok(())
}

fn a_checked_access_to_a_private_page_is_an_error() -> Result<(), String> {
    let region = region(Visibility::Private)?;
    let named = |at| Some(Untouchable::Private(GuestAddress((G << 12) + at)));
    let of = |error| Untouchable::of(&error);
    assert_eq!(region.read_obj::<u64>(At(0x1008)).err().and_then(of), named(0x1008));
    assert_eq!(region.write_obj(1_u64, At(0)).err().and_then(of), named(0));
    assert_eq!(region.get_slice(At(0x3000), 0x1000).err().and_then(of), named(0x3000));
    assert_eq!(region.as_volatile_slice().err().and_then(of), named(0));
    assert_eq!(region.get_host_address(At(5)).err().and_then(of), named(5));
    let collection = GuestRegionCollection::from_regions(vec![region]).expect("one region");
    let error = collection.read_obj::<u8>(GuestAddress((G << 12) + 0x2000));
    assert_eq!(error.err().and_then(of), named(0x2000));
    Ok(())
}

fn shared_pages_of_a_file_are_read_and_written_and_the_file_is_known() -> Result<(), String> {
    let region = region(Visibility::Shared)?;
    region.write_obj(0x1122_3344_u32, At(0x1ffe)).expect("shared");
    assert_eq!(region.read_obj::<u32>(At(0x1ffe)).expect("shared"), 0x1122_3344);
    assert_eq!(region.memory().load(0x2000), Some(0x1122));
    let file = region.file_offset().expect("a guest memory file");
    assert_eq!((file.start(), file.file().metadata().expect("open").len()), (0, BYTES as u64));
    Ok(())
}

pub(crate) fn main() -> ExitCode {
    if std::env::var_os(TOUCH).is_some() {
        let memory = memory(Visibility::Private).expect("its parent has made one");
        println!("read {:?}", memory.load(0));
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, Test); 3] = [
        ("a_touch_of_a_private_page_ends_the_process", a_touch_of_a_private_page_ends_the_process),
        ("a_checked_access_to_a_private_page_is_an_error", a_checked_access_to_a_private_page_is_an_error),
        (
            "shared_pages_of_a_file_are_read_and_written_and_the_file_is_known",
            shared_pages_of_a_file_are_read_and_written_and_the_file_is_known,
        ),
    ];
    let trial = |(name, test): (&str, Test)| {
        let run = move || -> Result<Completion, Failed> {
            Ok(test().map_or_else(Completion::ignored_with, |()| Completion::Completed))
        };
        Trial::ignorable_test(name, run)
    };
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().map(trial).collect()).exit_code()
}
