//! EL2's memory is out of the host's reach, to the byte.

use crate::probe;
use crate::report::{Check, case, claim, equal};
use firmware_board::layout::{CARVEOUT_END, IMAGE, IMAGE_END};

pub(super) fn run() {
    case("hyp_memory_faults_on_load", refused(|at| probe::load(at).map(|_| ())));
    // SAFETY: no object of this program lives in EL2's memory.
    case("hyp_memory_faults_on_store", refused(|at| unsafe { probe::store(at, 1) }));
    case("hyp_memory_ends_where_the_layout_says", edges());
}

fn refused(access: impl Fn(u64) -> Result<(), probe::Fault>) -> Check {
    for at in [IMAGE, IMAGE_END - 8, IMAGE_END, CARVEOUT_END - 8] {
        let Err(fault) = access(at) else { return claim("a fault", false, at) };
        equal("a data abort at EL1", fault.class(), 0x25)?;
        equal("the address", fault.far, at)?;
    }
    Ok(())
}

fn edges() -> Check {
    claim("the page below", probe::load(IMAGE - 8).is_ok(), IMAGE)?;
    claim("the page above", probe::load(CARVEOUT_END).is_ok(), CARVEOUT_END)
}
