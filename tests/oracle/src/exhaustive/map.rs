//! States, what was tried in each, and the way to the next where something is left to try.

use std::collections::{HashMap, VecDeque};

/// A state, by the order in which they were found.
pub type Id = u32;
/// A call, by its place in the space's list.
pub type Call = u16;

struct State {
    /// The calls before this one were made.
    next: Call,
    /// The calls that led elsewhere.
    ways: Vec<(Call, Id)>,
    /// The search that came by last, and by which way.
    searched: u32,
    came: (Id, Call),
}

/// The states found so far.
pub struct Map {
    ids: HashMap<u64, Id>,
    states: Vec<State>,
    calls: Call,
    searches: u32,
}

impl Map {
    /// No state yet; `calls` calls to make in each.
    pub fn new(calls: Call) -> Self {
        Self { ids: HashMap::new(), states: Vec::new(), calls, searches: 0 }
    }

    /// The state with this number.
    pub fn id(&mut self, number: u64) -> Id {
        let states = &mut self.states;
        *self.ids.entry(number).or_insert_with(|| {
            states.push(State { next: 0, ways: Vec::new(), searched: 0, came: (0, 0) });
            states.len() as Id - 1
        })
    }

    /// How many states there are.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The next call to make in `state`, which counts as made.
    pub fn next_call(&mut self, state: Id) -> Option<Call> {
        let state = self.states.get_mut(state as usize)?;
        let call = state.next;
        (call < self.calls).then(|| {
            state.next += 1;
            call
        })
    }

    /// The call leads from one state to another.
    pub fn add_way(&mut self, from: Id, call: Call, to: Id) {
        if let Some(state) = self.states.get_mut(from as usize) {
            match state.ways.iter_mut().find(|way| way.0 == call) {
                Some(way) => way.1 = to,
                None => state.ways.push((call, to)),
            }
        }
    }

    /// The shortest way from `from` to a state where calls are left, as calls.
    pub fn way_on(&mut self, from: Id) -> Option<Vec<Call>> {
        self.searches += 1;
        let mut queue = VecDeque::from([from]);
        self.states[from as usize].searched = self.searches;
        while let Some(at) = queue.pop_front() {
            if self.states[at as usize].next < self.calls {
                return Some(self.back_from(at, from));
            }
            for i in 0..self.states[at as usize].ways.len() {
                let (call, to) = self.states[at as usize].ways[i];
                let state = &mut self.states[to as usize];
                if state.searched != self.searches {
                    state.searched = self.searches;
                    state.came = (at, call);
                    queue.push_back(to);
                }
            }
        }
        None
    }

    fn back_from(&self, mut at: Id, from: Id) -> Vec<Call> {
        let mut way = Vec::new();
        while at != from {
            let (before, call) = self.states[at as usize].came;
            way.push(call);
            at = before;
        }
        way.reverse();
        way
    }
}
