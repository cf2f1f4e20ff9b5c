//! The main job, as facts: private, shared in place, private again.

use crate::life::{Backing, Host, Machine};
use crate::touch;
use tenure_test_protocol::layout::{GUEST_LAST, GUEST_PRIVATE, GUEST_SHARED, HOST_VALUE, RAM_BASE};
use tenure_test_protocol::{Denied, Event, Observation, Page, Scenario, Step};

/// Runs the scenario once and prints its facts; what they must be is checked by `checks`.
pub fn run(host: &Host) -> Result<(), String> {
    let machine = Machine::new(host, true, Backing::Client, Scenario::ShareInPlace)?;
    let page = Page::A.ipa();
    let address = machine.memory().address() + (page - RAM_BASE);
    let before = touch::frame(address);
    let life = machine.live();
    let after = touch::frame(address);

    let loads = |step: Step| {
        let of_step = life.seen.iter().filter(move |(of, _)| *of == step);
        of_step.filter_map(|(_, what)| match what {
            Observation::HostLoad(_, seen) => Some(*seen),
            _ => None,
        })
    };
    let reads = |step: Step| {
        let of_step = life.seen.iter().filter(move |(of, _)| *of == step);
        of_step.filter_map(|(_, what)| match what {
            Observation::Guest(Event::Value(value)) => Some(*value),
            _ => None,
        })
    };
    let faulted = |step| match loads(step).next() {
        Some(Err(Denied)) => "FAULT".into(),
        Some(Ok(value)) => format!("{value:#x}"),
        None => "nothing".into(),
    };
    // The second load while shared: what the guest wrote after it had shared the page.
    let host_read = loads(Step::Shared).nth(1).and_then(Result::ok);
    let guest_read = reads(Step::Shared).next();
    let intact =
        reads(Step::PrivateAgain).next() == Some(GUEST_LAST) && reads(Step::Private).nth(1) == Some(GUEST_PRIVATE);
    let frames = life.frames.iter().map(|&(_, _, frame)| frame);
    let same = before.is_some() && frames.chain([after]).all(|frame| frame == before);

    println!("TENURE demo page={:#x}", before.unwrap_or(0));
    println!("TENURE demo private_read={}", faulted(Step::Private));
    println!("TENURE demo host_read={}", host_read.map_or("FAULT".into(), |value| format!("{value:#x}")));
    println!("TENURE demo host_read_expected={GUEST_SHARED:#x}");
    println!("TENURE demo guest_read={}", guest_read.map_or("nothing".into(), |value| format!("{value:#x}")));
    println!("TENURE demo guest_read_expected={HOST_VALUE:#x}");
    println!("TENURE demo same_frame={}", if same { "yes" } else { "no" });
    // One frame, seen through one mapping, all the time: there was nothing to copy from or to.
    println!("TENURE demo copied={}", if same { "0" } else { "4096" });
    println!("TENURE demo after_unshare={}", faulted(Step::PrivateAgain));
    println!("TENURE demo guest_data={}", if intact { "intact" } else { "changed" });
    Ok(())
}
