//! A table of single observations: 142 things tried on a kernel with private memory, one after the other.
//!
//! Rows of the behaviour table say what must hold; this says what is, in fewer words and with everything on one VM after
//! the other, so that what one request leaves behind shows in the next. [`EXPECTED`] holds what Linux 7.3.4 does.
//!
//! | module | what is tried |
//! |---|---|
//! | `words` | how an answer is written |
//! | `world` | the VMs and files that everything is tried on |
//! | `requests` | capabilities, kinds of VMs, files, slots, attributes |
//! | `touches` | what guest and host find in private and shared memory, and how a fault looks |
//! | `calls` | hypercalls and pre-fault |

mod calls;
mod requests;
mod touches;
mod words;
mod world;

use crate::Target;
use crate::rows::Trial;
use tenure_abi::gmem::{Capability, VmType};
use world::World;

/// What Linux 7.3.4 with `CONFIG_KVM_SW_PROTECTED_VM` says to it, one `name = value` a line.
pub const EXPECTED: &str = include_str!("linux-7.3.4.txt");

/// What a target says that has no such thing to look at.
const NOT_SHOWN: &str = "not shown";

/// Observations, in order.
pub type Table = Vec<(String, String)>;

/// Tries everything.
///
/// # Errors
/// What was missing before anything could be tried.
pub fn observe(target: &mut dyn Target) -> Result<Table, String> {
    target.reset();
    if target.check(None, Capability::VM_TYPES) & 1 << VmType::SW_PROTECTED.0 == 0 {
        return Err("needs a VM with private memory".into());
    }
    let mut trial = Trial { target, notes: Vec::new() };
    let mut world = World::new(&mut trial)?;
    requests::observe(&mut world)?;
    touches::observe(&mut world)?;
    calls::observe(&mut world)?;
    let table = std::mem::take(&mut world.table);
    trial.target.reset();
    Ok(table)
}

/// Compares with [`EXPECTED`], line by line in order; a line for each through `say`, and whether all agree.
pub fn compare(table: &Table, mut say: impl FnMut(&str)) -> bool {
    let wanted: Vec<_> = EXPECTED.lines().filter_map(|line| line.split_once(" = ")).collect();
    let mut good = wanted.len() == table.len();
    if !good {
        say(&format!("TENURE case gmem_table_length fail saw {}, wanted {}", table.len(), wanted.len()));
    }
    for ((name, seen), (wanted_name, wanted)) in table.iter().zip(wanted) {
        if (name.as_str(), seen.as_str()) == (wanted_name, wanted) {
            say(&format!("TENURE case gmem_table.{name} pass"));
        } else if seen == NOT_SHOWN && name == wanted_name {
            say(&format!("TENURE case gmem_table.{name} skip this target does not show it"));
        } else {
            good = false;
            say(&format!("TENURE case gmem_table.{name} fail saw {seen}, wanted {wanted_name} = {wanted}"));
        }
    }
    good
}
