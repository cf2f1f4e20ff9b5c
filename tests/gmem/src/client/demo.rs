//! The main job, as facts: a guest's page private, shared, private again, through the client.

use super::World;
use tenure_abi::{AddressWidth, ContentMode, FrameRange, Gfn, PAGE_SIZE, Visibility};
use tenure_host::convert::{Front, NoLeases, Request};
use tenure_host::ram::{Kernel, Offers, Ram, Strategy};

/// The page, and one beside it that stays private.
const PAGE: u64 = 0x200;
const BESIDE: u64 = PAGE + 1;
/// What the guest writes while the page is private, what it keeps beside, what it writes after sharing, what the host writes back.
const PRIVATE: u8 = 0x5a;
const KEPT: u8 = 0x77;
const SHARED: u8 = 0xa1;
const BACK: u8 = 0xb2;

/// Shows it on a world, as lines of facts; whether every step could be made.
///
/// # Errors
/// Which step could not, in words.
pub fn show<W: World>(world: &mut W, mut say: impl FnMut(&str)) -> Result<(), String> {
    let kernel = world.fresh()?;
    let strategy = Offers::probe(&kernel).strategy(true);
    let front = Front::new(Ram::new(kernel, strategy, 1..2), NoLeases);
    let kind = match strategy {
        Strategy::InPlace { .. } => "in_place",
        Strategy::TwoBackings => "two_backings",
        Strategy::SharedOnly { .. } => "shared_only",
        Strategy::Protected => "protected",
    };
    let private = strategy == Strategy::TwoBackings || matches!(strategy, Strategy::InPlace { .. });
    let first = if private { Visibility::Private } else { Visibility::Shared };
    let two = FrameRange::new(gfn(PAGE)?, 2, AddressWidth::MAX).map_err(|error| format!("{error:?}"))?;
    front.backing().add(two, first).map_err(|failed| failed.to_string())?;
    let turn = |to| {
        let request = Request { gfns: FrameRange::single(gfn(PAGE)?), to };
        front.convert(request, ContentMode::Unspecified).map_err(|stopped| format!("{stopped:?}"))
    };
    say(&format!("kind={kind} page={:#x}", PAGE * PAGE_SIZE));
    let (memory, offset) = front.backing().memory(gfn(PAGE)?).ok_or("no memory")?;

    guest_store(world, PAGE, PRIVATE)?;
    guest_store(world, BESIDE, KEPT)?;
    if private {
        say(&format!("private_read={}", host(world, &memory, offset)));
        turn(Visibility::Shared)?;
    }
    // The guest writes after sharing; the host answers, and the guest reads that.
    guest_store(world, PAGE, SHARED)?;
    let host_read = host(world, &memory, offset);
    let before = world.frame(&memory, offset);
    say(&format!("host_read={host_read} host_read_expected={SHARED:#x}"));
    world.host_store(&memory, offset, BACK).map_err(|fault| format!("the host's store: {fault:?}"))?;
    say(&format!("guest_read={} guest_read_expected={BACK:#x}", guest(world, PAGE)));
    let after = world.frame(&memory, offset);
    let same = before.is_some() && before == after && strategy != Strategy::TwoBackings;
    say(&format!("same_frame={} copied=0", if same { "yes" } else { "no" }));
    if private {
        turn(Visibility::Private)?;
        guest_store(world, PAGE, PRIVATE)?;
        say(&format!("after_unshare={}", host(world, &memory, offset)));
    }
    let (own, beside) = (guest(world, PAGE), guest(world, BESIDE));
    let wanted = (format!("{:#x}", if private { PRIVATE } else { BACK }), format!("{KEPT:#x}"));
    say(&format!("guest_data={}", if (own, beside) == wanted { "intact" } else { "changed" }));
    Ok(())
}

fn gfn(number: u64) -> Result<Gfn, String> {
    Gfn::new(number).map_err(|error| format!("{error:?}"))
}

fn guest_store<W: World>(world: &mut W, page: u64, value: u8) -> Result<(), String> {
    world.guest_store(page * PAGE_SIZE, value).map_err(|stop| format!("the guest's store: {stop:?}"))
}

fn guest<W: World>(world: &mut W, page: u64) -> String {
    world.guest_load(page * PAGE_SIZE).map_or_else(|_| "FAULT".into(), |value| format!("{value:#x}"))
}

fn host<W: World>(world: &mut W, memory: &<W::Kernel as Kernel>::Memory, offset: u64) -> String {
    world.host_load(memory, offset).map_or_else(|_| "FAULT".into(), |value| format!("{value:#x}"))
}
