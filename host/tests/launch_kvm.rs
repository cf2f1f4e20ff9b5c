//! The requests of a launch on this machine's kernel, whose plain VM is neither an SNP guest nor a TD: each is refused
//! cleanly.

#[cfg(target_os = "linux")]
mod here {
    use libtest_mimic::{Arguments, Completion, Failed, Trial};
    use std::process::ExitCode;
    use tenure_abi::Errno;
    use tenure_abi::gmem::{SnpLaunchUpdate, SnpPageType, TdxInitMemRegion, TdxRegionFlags, VmType};
    use tenure_host::launch::{self, Refused, Stopped, Why};
    use tenure_host::linux::{GuestMemory, Kvm, Vm, request};

    /// A test: the error is what the machine lacks.
    type Test = fn() -> Result<(), String>;

    /// What a kernel says that has no such request for this VM, and one that has it and looks at the VM then.
    const REFUSALS: [Errno; 2] = [Errno::ENOTTY, Errno::EINVAL];

    /// A plain VM, and a page of the VMM; else what the machine lacks.
    fn world() -> Result<(Vm, GuestMemory), String> {
        let say = |failed: tenure_host::linux::Failed| failed.to_string();
        let vm = Kvm::open().and_then(|kvm| kvm.create_vm(VmType::DEFAULT)).map_err(say)?;
        Ok((vm, GuestMemory::anonymous(0x1000).map_err(say)?))
    }

    /// Refused once, for a reason that does not pass, with nothing done and nothing said by firmware.
    fn refused(stopped: Result<(), Stopped>, calls: u32) {
        let Err(Stopped { done: 0, gpa: 0x10_0000, why: Why::Refused(Refused { errno, firmware: 0 }) }) = stopped
        else {
            panic!("{stopped:?}");
        };
        assert!(REFUSALS.contains(&errno), "{errno:?}");
        assert_eq!(calls, 1);
    }

    fn a_vm_that_is_no_snp_guest_refuses_a_page() -> Result<(), String> {
        let (vm, source) = world()?;
        let update = SnpLaunchUpdate {
            gfn_start: 0x100,
            uaddr: source.address(),
            len: 0x1000,
            page_type: SnpPageType::NORMAL.0,
            ..SnpLaunchUpdate::default()
        };
        let mut calls = 0;
        // SAFETY: no reference is ever made to the memory of `source`.
        let call = |update: &mut SnpLaunchUpdate| unsafe {
            calls += 1;
            request::snp_launch_update(&vm, &vm, update)
        };
        refused(launch::snp(update, call, |_| true), calls);
        Ok(())
    }

    fn a_descriptor_that_is_no_td_refuses_a_region() -> Result<(), String> {
        let (vm, source) = world()?;
        let region = TdxInitMemRegion { source_addr: source.address(), gpa: 0x10_0000, nr_pages: 1 };
        let mut calls = 0;
        let call = |region: &mut TdxInitMemRegion| {
            calls += 1;
            request::tdx_init_mem_region(&vm, TdxRegionFlags::MEASURE, region)
        };
        refused(launch::tdx(region, call, |_| true), calls);
        Ok(())
    }

    pub(crate) fn main() -> ExitCode {
        let tests: [(&str, Test); 2] = [
            ("a_vm_that_is_no_snp_guest_refuses_a_page", a_vm_that_is_no_snp_guest_refuses_a_page),
            ("a_descriptor_that_is_no_td_refuses_a_region", a_descriptor_that_is_no_td_refuses_a_region),
        ];
        let trials = tests.into_iter().map(|(name, test)| {
            Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
                Ok(test().map_or_else(Completion::ignored_with, |()| Completion::Completed))
            })
        });
        libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    here::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
