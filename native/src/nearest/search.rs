//! Distances of numbers, and the least of many distances: loops that the compiler turns into vector instructions.

/// Columns that are added in one pass, so that a distance is loaded and stored once for all of them.
const TOGETHER: usize = 4;
/// Distances that are passed over together where none is near.
const CHUNK: usize = 8;
/// Groups of distances, at least.
const GROUPS_MIN: usize = 24;

/// Numbers of an event, and their columns without a missing value, which wait until there are enough of them.
#[derive(Default)]
pub struct Complete<'a> {
    waiting: usize,
    asked: [f32; TOGETHER],
    columns: [&'a [f32]; TOGETHER],
}

impl<'a> Complete<'a> {
    pub fn push(&mut self, distances: &mut [f32], asked: f32, column: &'a [f32]) {
        (self.asked[self.waiting], self.columns[self.waiting]) = (asked, column);
        self.waiting += 1;
        if self.waiting == TOGETHER {
            self.waiting = 0;
            let [one, two, three, four] = self.columns;
            for ((((sum, one), two), three), four) in distances.iter_mut().zip(one).zip(two).zip(three).zip(four) {
                let (one, two, three, four) = (self.asked[0] - one, self.asked[1] - two, self.asked[2] - three, self.asked[3] - four);
                *sum = *sum + one * one + two * two + three * three + four * four;
            }
        }
    }

    /// Add those that wait.
    pub fn end(&mut self, distances: &mut [f32]) {
        for (&asked, column) in self.asked.iter().zip(self.columns).take(self.waiting) {
            for (sum, value) in distances.iter_mut().zip(column) {
                let off = asked - value;
                *sum += off * off;
            }
        }
        self.waiting = 0;
    }
}

/// Finds the least of many distances, none of which is negative: so their bits have their order.
#[derive(Default)]
pub struct Least {
    groups: Vec<f32>,
    bits: Vec<u32>,
    /// Distance and place of each one found, then what was there before; there is always place for one more than there are distances.
    found: Vec<u64>,
}

impl Least {
    /// Distance and place of so many of them, the least first; of equal ones the first place first.
    pub fn of(&mut self, wanted: usize, distances: &[f32]) -> impl ExactSizeIterator<Item = (f32, usize)> + use<'_> {
        let bound = self.bound(wanted, distances);
        self.found.resize(distances.len() + 1, 0);
        let mut found = 0;
        for (number, chunk) in distances.chunks(CHUNK).enumerate() {
            if chunk.iter().fold(false, |near, &distance| near | (distance <= bound)) {
                for (place, &distance) in ((number * CHUNK) as u64..).zip(chunk) {
                    // Without a branch, which could not be foreseen.
                    self.found[found] = u64::from(distance.to_bits()) << 32 | place;
                    found += usize::from(distance <= bound);
                }
            }
        }
        self.found[..found].sort_unstable();
        self.found[..wanted].iter().map(|&each| (f32::from_bits((each >> 32) as u32), each as u32 as usize))
    }

    /// A distance that at least so many are not above, and not many more: of the least distances of groups.
    fn bound(&mut self, wanted: usize, distances: &[f32]) -> f32 {
        self.groups.clear();
        self.groups.resize(GROUPS_MIN.max(2 * wanted), f32::INFINITY);
        for some in distances.chunks(self.groups.len()) {
            for (least, &distance) in self.groups.iter_mut().zip(some) {
                *least = if distance < *least { distance } else { *least };
            }
        }
        self.bits.clear();
        self.bits.extend(self.groups.iter().map(|each| each.to_bits()));
        self.bits.sort_unstable();
        f32::from_bits(self.bits[wanted - 1])
    }
}
