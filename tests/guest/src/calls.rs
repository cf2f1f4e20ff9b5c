//! Raw calls: what the library would refuse to say is said here, and answers are reported unread.

use crate::io::send;
use tenure_abi::pkvm::id;
use tenure_test_protocol::Event;

/// x0..x3 of the answer to `function` with arguments x1..x3.
pub fn call(function: u32, x1: u64, x2: u64, x3: u64) -> [u64; 4] {
    let [x0, x1, x2, x3, ..] = smccc::hvc64(function, [x1, x2, x3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    [x0, x1, x2, x3]
}

/// Makes a call and reports x0.
pub fn report_code(function: u32, x1: u64, x2: u64, x3: u64) {
    let [value, ..] = call(function, x1, x2, x3);
    send(Event::Reply { register: 0, value });
}

/// Makes a call and reports x0..x3.
pub fn report_all(function: u32) {
    for (register, value) in (0..).zip(call(function, 0, 0, 0)) {
        send(Event::Reply { register, value });
    }
}

/// `MEM_SHARE` of one page; reports x0.
pub fn share(ipa: u64) {
    report_code(id::MEM_SHARE, ipa, 0, 0);
}

/// `MEM_UNSHARE` of one page; reports x0.
pub fn unshare(ipa: u64) {
    report_code(id::MEM_UNSHARE, ipa, 0, 0);
}
