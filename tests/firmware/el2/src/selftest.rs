//! The calls of `firmware_board::selftest`: they try the world switch and EL2's own mappings by themselves.

use crate::trap::class;
use crate::vcpu::Vcpu;
use crate::vectors::Frame;
use crate::world::enter_guest;
use crate::{glue, inject, pages, percpu};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use firmware_board::layout::{CPUS, SCENARIO};
use firmware_board::selftest;
use tenure_abi::{PAGE_SHIFT, smccc};
use tenure_arch::lock::Locked;

/// Whether the calls exist in this run. Written before the host runs and before any other CPU does.
static OFFERED: AtomicBool = AtomicBool::new(false);
/// A vCPU for each CPU.
static VCPUS: [Locked<Vcpu>; CPUS] = [const { Locked::new(Vcpu::new(0, 0, 0, 0, 0)) }; CPUS];
/// The VMID of a guest that runs on the host's stage 2; the host's is 0.
const VMID: u64 = 0xff << 48;

/// Looks at the scenario number. Once, on CPU 0, before the host runs.
pub(crate) fn init() {
    // SAFETY: on CPU 0, and nobody else is running.
    let number = unsafe { pages::with_fixmap(0, SCENARIO >> PAGE_SHIFT, |page| page[0]) };
    OFFERED.store(number.is_ok_and(|number| number < selftest::SCENARIOS), Ordering::Relaxed);
}

/// Whether this call of a guest ends its run.
#[inline]
pub(crate) fn stops(function: u32) -> bool {
    function == selftest::STOP && offered()
}

/// Whether these calls exist in this run.
#[inline]
pub(crate) fn offered() -> bool {
    OFFERED.load(Ordering::Relaxed)
}

/// Answers the host's call in the frame if it is one of these. Only where they are offered.
#[cold]
#[inline(never)]
pub(crate) fn answer(frame: &mut Frame) -> bool {
    let result = match smccc::function(frame.x[0]) {
        selftest::RUN => run(frame),
        selftest::EXCHANGE => exchange(frame),
        // SAFETY: on this CPU; in these runs no page is anybody's but the host's, who asks for it.
        selftest::SCRUB => unsafe { pages::scrub_page(percpu::current().cpu, frame.x[1]) },
        selftest::REACH => {
            frame.x[1] = pages::reach(frame.x[1]);
            Ok(())
        }
        _ => return false,
    };
    let code = if result.is_ok() { smccc::SUCCESS } else { smccc::INVALID_PARAMETER };
    frame.x[0] = code.cast_unsigned();
    true
}

fn exchange(frame: &mut Frame) -> Result<(), pages::NotMappable> {
    let pfn = frame.x[1];
    pages::map_page(pfn)?;
    let first = (pfn << PAGE_SHIFT) as *mut u64;
    // SAFETY: the page is mapped at its own address and the host, who asks, waits.
    unsafe {
        let old = first.read_volatile();
        first.write_volatile(frame.x[2]);
        frame.x[1] = old;
        pages::unmap_page(pfn)
    }
}

fn run(frame: &mut Frame) -> Result<(), pages::NotMappable> {
    let host = glue::host_translation();
    let mut vcpu = VCPUS.get(percpu::current().cpu).ok_or(pages::NotMappable)?.lock();
    *vcpu = Vcpu::new(frame.x[1], frame.x[2], host.vttbr | VMID, host.vtcr, 0);
    // SAFETY: on the host's behalf; this CPU alone has the vCPU and does not use it meanwhile.
    let enter = |vcpu: &mut Vcpu| unsafe { enter_guest(NonNull::from(vcpu)) };
    let mut exit = enter(&mut vcpu);
    if frame.x[3] != 0 && exit.syndrome.class() == class::DATA_ABORT {
        inject::inject_stopped(&mut vcpu, inject::external_abort(exit.syndrome.esr), exit.syndrome.far);
        exit = enter(&mut vcpu);
    }
    let [_, interrupt, esr, far, hpfar, x1, x19, pc, ..] = &mut frame.x;
    *interrupt = exit.interrupt.into();
    (*esr, *far, *hpfar) = (exit.syndrome.esr, exit.syndrome.far, exit.syndrome.hpfar);
    (*x1, *x19, *pc) = (vcpu.x[1], vcpu.x[19], vcpu.pc);
    Ok(())
}
