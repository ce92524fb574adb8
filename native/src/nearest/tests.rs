use super::*;

fn made(window: usize) -> Made {
    Made { neighbors: 3, window, features_max: 2, task: Task::Classes }
}

/// Three numbers, of which the last one tells the class.
fn trained(window: usize, events: usize) -> Nearest {
    let mut model = Nearest::new(made(window));
    for _ in 0..3 {
        model.add_number();
    }
    for number in 0..events {
        model.begin();
        model.row[0] = (number * 7 % 11) as f64;
        if number % 5 > 0 {
            model.row[1] = (number * 5 % 13) as f64;
        }
        model.row[2] = (number % 4) as f64;
        model.learn(&[(number % 4 / 2, 1.0)]);
    }
    model
}

#[test]
fn the_nearest_are_those_of_a_plain_search() {
    let mut model = trained(50, 90);
    for asked in [[0.0, 3.0], [10.0, f64::NAN], [4.5, 12.0]] {
        model.begin();
        let kept: Vec<usize> = model.columns.iter().map(|column| column.feature).collect();
        for (&feature, value) in kept.iter().zip(asked) {
            model.row[feature] = value;
        }
        let far = |place: usize| {
            model.columns.iter().fold(0.0f32, |sum, column| {
                let (one, other) = (model.features[column.feature].encode(model.row[column.feature]), column.values[place]);
                sum + match (one.is_nan(), other.is_nan()) {
                    (true, true) => 0.0,
                    (false, false) => (one - other) * (one - other),
                    _ => DIFFERENT,
                }
            })
        };
        let mut places: Vec<usize> = (0..50).collect();
        places.sort_by(|&one, &other| far(one).total_cmp(&far(other)));
        model.search();
        assert_eq!(model.found.iter().map(|each| each.0).collect::<Vec<_>>(), places[..3]);
    }
}

#[test]
fn a_feature_that_tells_more_is_kept() {
    let kept = |model: &Nearest| model.columns.iter().map(|column| column.feature).collect::<Vec<_>>();
    assert_eq!(kept(&trained(50, 99)), [0, 1]);
    assert!(kept(&trained(50, 100)).contains(&2));
}

#[test]
fn what_was_written_is_read_and_damage_is_an_error() {
    let model = trained(40, 130);
    let mut to = Writer::default();
    model.write(&mut to);
    let (counts, floats) = to.block();
    let read = |counts: &[u8], floats: &[u8]| {
        let mut other = Nearest::new(made(40));
        let mut reader = Reader::new(counts, floats)?;
        other.read(&mut reader, 3)?;
        reader.end()?;
        Ok::<_, Damaged>(other)
    };
    let other = read(&counts, &floats).unwrap();
    let mut again = Writer::default();
    other.write(&mut again);
    assert_eq!(again.block(), (counts.clone(), floats.clone()));
    for cut in 0..counts.len() / 4 {
        assert!(read(&counts[..4 * cut], &floats).is_err());
    }
    for cut in 0..floats.len() / 8 {
        assert!(read(&counts, &floats[..8 * cut]).is_err());
    }
}
