//! exp, log, log2, tanh and erf by the same steps as `stream_retrain/models/arithmetic.py`: each result is equal to the last bit.
//!
//! Only operations that IEEE 754 defines exactly are used, in the order in which they are written; rustc neither reorders nor fuses them.

/// The version that `arithmetic.py` has, too.
pub const VERSION: u32 = 1;

const INV_LN2: f64 = std::f64::consts::LOG2_E;
/// log(2), the first 42 bits: its product with an exponent is exact.
const LN2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEFA_3800);
/// log(2), the rest.
const LN2_LOW: f64 = f64::from_bits(0x3D2E_F357_93C7_6730);
const HALF_ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;

const ERFCX: [f64; 22] = [
    0.3215854164543175,
    -0.3681515648982602,
    0.20143885681922427,
    -0.0816268451340414,
    0.02330826123266951,
    -0.003956151636368351,
    7.012531317034707e-05,
    0.00012716419851675856,
    -1.5153799245990541e-05,
    -4.532605862719247e-06,
    8.118057254898796e-07,
    2.2754298387094686e-07,
    -3.4805635200648176e-08,
    -1.4460654611145275e-08,
    8.289810171926706e-10,
    9.440110568136586e-10,
    6.16184260979435e-11,
    -5.1703501979866416e-11,
    -1.1351307986427277e-11,
    1.625134053276775e-12,
    7.95104531707357e-13,
    2.309804459588235e-14,
];

/// e to the power x; 0 below -708, and infinite from 709.
#[inline]
pub fn exp(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0; // so are the steps below
    }
    if !(-708.0 < x && x < 709.0) {
        return match x {
            _ if x.is_nan() => x,
            _ if x < 0.0 => 0.0,
            _ => f64::INFINITY,
        };
    }
    let k = (x * INV_LN2 + if x >= 0.0 { 0.5 } else { -0.5 }) as i32;
    let part = f64::from(k);
    let high = x - part * LN2_HIGH;
    let low = part * LN2_LOW;
    let r = high - low;
    let c = r - excess(r * r);
    let y = 1.0 + (high - (low - r * c / (2.0 - c)));
    // 2^k is a normal number here, so the product is exact.
    y * f64::from_bits(((1023 + i64::from(k)) as u64) << 52)
}

/// r coth(r/2) - 2, of r squared.
#[inline(always)]
fn excess(z: f64) -> f64 {
    z * (1.0 / 6.0 + z * (-1.0 / 360.0 + z * (1.0 / 15120.0 + z * (-1.0 / 604800.0 + z * (1.0 / 23950080.0 + z * (-691.0 / 653837184000.0))))))
}

/// The natural logarithm; -inf of 0, and NaN below.
#[inline]
pub fn log(x: f64) -> f64 {
    if !(0.0 < x && x < f64::INFINITY) {
        return match x {
            _ if x > 0.0 => x,
            0.0 => f64::NEG_INFINITY,
            _ => f64::NAN,
        };
    }
    let (f, k) = reduced(x);
    let s = f / (2.0 + f);
    let half = 0.5 * f * f;
    k * LN2_HIGH - ((half - (s * (half + artanh(s * s)) + k * LN2_LOW)) - f)
}

/// The logarithm to the base of 2 of a number above 0; exact for a power of 2.
#[inline]
pub fn log2(x: f64) -> f64 {
    let (f, k) = reduced(x);
    let s = f / (2.0 + f);
    let half = 0.5 * f * f;
    k + (f - (half - s * (half + artanh(s * s)))) * INV_LN2
}

/// Two logarithms in less time than one after the other.
#[inline]
pub fn log_of_two(x: [f64; 2]) -> [f64; 2] {
    if !x.iter().all(|x| (f64::MIN_POSITIVE..f64::INFINITY).contains(x)) {
        return x.map(log);
    }
    let (f, k) = reduced_two(x);
    let s = f.map(|f| f / (2.0 + f));
    std::array::from_fn(|i| {
        let (f, k, s) = (f[i], k[i], s[i]);
        let half = 0.5 * f * f;
        k * LN2_HIGH - ((half - (s * (half + artanh(s * s)) + k * LN2_LOW)) - f)
    })
}

/// The same to the base of 2.
#[inline]
pub fn log2_of_two(x: [f64; 2]) -> [f64; 2] {
    if !x.iter().all(|x| (f64::MIN_POSITIVE..f64::INFINITY).contains(x)) {
        return x.map(log2);
    }
    let (f, k) = reduced_two(x);
    let s = f.map(|f| f / (2.0 + f));
    std::array::from_fn(|i| {
        let (f, k, s) = (f[i], k[i], s[i]);
        let half = 0.5 * f * f;
        k + (f - (half - s * (half + artanh(s * s)))) * INV_LN2
    })
}

/// `reduced` of two normal numbers above 0, without a branch, so that both are computed at once.
#[inline(always)]
fn reduced_two(x: [f64; 2]) -> ([f64; 2], [f64; 2]) {
    let m = x.map(|x| f64::from_bits((x.to_bits() & 0x000F_FFFF_FFFF_FFFF) | 0x3FE0_0000_0000_0000));
    // The exponent stands in the last bits of a number from 2^52 on.
    let k = x.map(|x| f64::from_bits((x.to_bits() >> 52) | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1022.0));
    let below = m.map(|m| m < HALF_ROOT);
    let f = std::array::from_fn(|i| if below[i] { m[i] + m[i] } else { m[i] } - 1.0);
    (f, std::array::from_fn(|i| if below[i] { k[i] - 1.0 } else { k[i] }))
}

/// x = 2^k (1 + f), with 1 + f between the roots of 1/2 and of 2.
#[inline(always)]
fn reduced(x: f64) -> (f64, f64) {
    let (bits, shift) = if x < f64::MIN_POSITIVE { ((x * 18_014_398_509_481_984.0).to_bits(), 54) } else { (x.to_bits(), 0) };
    let mut k = ((bits >> 52) & 0x7FF) as i32 - 1022 - shift;
    let mut m = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | 0x3FE0_0000_0000_0000);
    if m < HALF_ROOT {
        m += m;
        k -= 1;
    }
    (m - 1.0, f64::from(k))
}

#[inline(always)]
fn artanh(z: f64) -> f64 {
    let w = z * z;
    let odd = z * (2.0 / 3.0 + w * (2.0 / 7.0 + w * (2.0 / 11.0 + w * (2.0 / 15.0 + w * (2.0 / 19.0)))));
    let even = w * (2.0 / 5.0 + w * (2.0 / 9.0 + w * (2.0 / 13.0 + w * (2.0 / 17.0 + w * (2.0 / 21.0)))));
    odd + even
}

/// The hyperbolic tangent.
#[inline]
pub fn tanh(x: f64) -> f64 {
    let mut r = x.abs();
    r += r;
    let t = if r < 0.34 {
        r / (2.0 + excess(r * r))
    } else if r < 44.0 {
        1.0 - 2.0 / (exp(r) + 1.0)
    } else if r.is_nan() {
        return x;
    } else {
        1.0
    };
    t.copysign(x)
}

/// The error function.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return x;
    }
    if a >= 6.0 {
        return 1.0f64.copysign(x);
    }
    let u = 2.0 - 9.0 / (a + 3.0);
    let mut p = 0.0;
    for coefficient in ERFCX.iter().rev() {
        p = p * u + coefficient;
    }
    (1.0 - exp(-(a * a)) * p).copysign(x)
}

/// A number above 0 to any power.
pub fn power(x: f64, exponent: f64) -> f64 {
    exp(exponent * log(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_near_those_of_the_c_library() {
        for step in -7000..7000 {
            let x = f64::from(step) / 10.0;
            assert!((exp(x) - x.exp()).abs() <= 1e-15 * x.exp());
            assert!((tanh(x / 100.0) - (x / 100.0).tanh()).abs() <= 4e-16);
            assert!((log(x.abs() + 1e-9) - (x.abs() + 1e-9).ln()).abs() <= 4e-15);
        }
    }

    #[test]
    fn two_at_once_are_the_same_as_each() {
        let ends = [0.0, -1.0, f64::INFINITY, 1e-310, f64::MIN_POSITIVE, f64::MAX, 1.0, HALF_ROOT];
        let bits = |x: [f64; 2]| x.map(f64::to_bits);
        for step in 0..200_000u64 {
            let x = ends.get(step as usize).copied().unwrap_or_else(|| f64::from_bits(step * 46_116_860_184_273 % (0x7FF0 << 48)));
            let pair = [x, 0.3 + step as f64 / 1e5];
            assert_eq!(bits(log_of_two(pair)), bits(pair.map(log)));
            if x > 0.0 && x < f64::INFINITY {
                assert_eq!(bits(log2_of_two(pair)), bits(pair.map(log2)));
            }
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!((exp(-709.0), exp(709.0), exp(0.0)), (0.0, f64::INFINITY, 1.0));
        assert_eq!((log(0.0), log(1.0)), (f64::NEG_INFINITY, 0.0));
        assert_eq!(log(f64::from_bits(1)), f64::from_bits(1).ln());
        assert_eq!((tanh(1e300), tanh(-1e300), erf(-7.0)), (1.0, -1.0, -1.0));
        assert!(exp(f64::NAN).is_nan() && log(-1.0).is_nan() && tanh(f64::NAN).is_nan());
        for k in -1022..1023 {
            assert_eq!(log2(f64::from_bits(((1023 + k) as u64) << 52)), f64::from(k as i32));
        }
    }
}
