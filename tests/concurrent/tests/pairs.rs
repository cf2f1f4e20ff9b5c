//! Every unordered pair of operations, each with itself too, under many schedules.

use tenure_concurrent::{Op, pair};
use tenure_machine::Plan;

#[test]
fn x() {
    let start = std::time::Instant::now();
    for (i, first) in Op::ALL.into_iter().enumerate() {
        for second in &Op::ALL[i..] {
            let t = std::time::Instant::now();
            let outcome = pair(Plan::new(1, 200, 3), [first, *second]);
            println!("{first:?} {second:?} {} schedules {} prims/s {:?} {:?}", outcome.schedules, outcome.primitives / outcome.schedules.max(1), t.elapsed(), outcome.found);
        }
    }
    println!("{:?}", start.elapsed());
}
