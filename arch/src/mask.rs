//! Index masking against speculation.
//!
//! A bounds check that a CPU mispredicts does not stop the load behind it. An index from outside goes
//! through [`index`] first: it computes the bound into the index itself, without a branch to mispredict.

/// `i` if it is below `len`, else 0: by arithmetic, also under misspeculation.
///
/// It does not replace the check: whoever needs to refuse a bad index compares it too.
#[inline]
pub fn index(i: usize, len: usize) -> usize {
    i & below(i, len)
}

/// All ones if `i < len`, else 0.
#[cfg(target_arch = "aarch64")]
#[inline]
fn below(i: usize, len: usize) -> usize {
    let mask: usize;
    // SAFETY: arithmetic on three registers and the flags. CSDB keeps later instructions from using
    // a predicted value of the mask.
    unsafe {
        core::arch::asm!(
            "cmp {i}, {len}",
            "sbc {mask}, xzr, xzr",
            "csdb",
            i = in(reg) i,
            len = in(reg) len,
            mask = lateout(reg) mask,
            options(pure, nomem, nostack)
        );
    }
    mask
}

/// All ones if `i < len`, else 0.
#[cfg(not(target_arch = "aarch64"))]
#[inline]
fn below(i: usize, len: usize) -> usize {
    // The borrow of `i - len`; hidden from the optimiser, which would turn it into a branch.
    let borrow = core::hint::black_box(i.overflowing_sub(len).1);
    0usize.wrapping_sub(usize::from(borrow))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_below_the_length_pass_and_others_become_zero() {
        let edges = [0, 1, 2, 511, 512, 513, usize::MAX / 2, usize::MAX / 2 + 1, usize::MAX - 1, usize::MAX];
        for i in edges {
            for len in edges {
                assert_eq!(index(i, len), if i < len { i } else { 0 }, "{i} of {len}");
            }
        }
    }
}
