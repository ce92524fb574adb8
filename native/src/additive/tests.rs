use super::*;
use crate::block::{Damaged, Reader, Writer};

const PLAIN: Parameters = Parameters { bins: 8, rate: 0.3, categories_max: 256, decay: 0.999, pairs: 0, pair_bins: 5, seed: 1 };

fn trained() -> Additive {
    let mut model = Additive::new(PLAIN);
    model.add_number();
    let slot = model.add_category(0, 0);
    for number in 0..300 {
        model.begin();
        model.number(0, f64::from(number % 10));
        if number % 3 == 0 {
            model.category(slot);
        }
        model.finish();
        model.errors = vec![model.scores[0] - f64::from(number % 10 / 5)];
        model.learn();
    }
    model
}

#[test]
fn it_learns_a_function_of_a_number() {
    let mut model = trained();
    for (value, expected) in [(1.0, 0.0), (8.0, 1.0)] {
        model.begin();
        model.number(0, value);
        model.finish();
        assert!((model.scores[0] - expected).abs() < 0.2, "{:?}", model.scores);
    }
}

#[test]
fn what_was_written_is_read_and_damage_is_an_error() {
    let model = trained();
    let mut to = Writer::default();
    model.write(&mut to, [8].into_iter());
    let (counts, floats) = to.block();
    let mut other = Additive::new(PLAIN);
    let mut reader = Reader::new(&counts, &floats).unwrap();
    assert_eq!(other.read(&mut reader, 1, &[1], 1), Ok(vec![vec![8]]));
    assert_eq!(reader.end(), Ok(()));
    let mut again = Writer::default();
    other.write(&mut again, [8].into_iter());
    assert_eq!(again.block(), (counts.clone(), floats.clone()));
    for cut in 0..floats.len() / 8 {
        let mut reader = Reader::new(&counts, &floats[..8 * cut]).unwrap();
        assert_eq!(Additive::new(PLAIN).read(&mut reader, 1, &[1], 1), Err(Damaged));
    }
}

#[test]
fn a_third_class_leaves_the_probabilities_of_the_others() {
    let mut model = trained();
    model.begin();
    model.number(0, 3.0);
    model.finish();
    let (mut two, mut three) = (vec![], vec![]);
    softmax(&model.scores, &mut two);
    model.add_class(2);
    softmax(&model.scores, &mut three);
    assert!((two[1] / two[0] - three[1] / three[0]).abs() < 1e-12);
    assert_eq!(three.len(), 3);
}
