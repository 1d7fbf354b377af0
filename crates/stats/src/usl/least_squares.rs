//! Linear least squares with a handful of coefficients that must not be negative.

/// A column of which less than this share is left beside the others says nothing of its own.
const DEPENDENT: f64 = 1e-12;

/// The best coefficients, and the sum of squares they leave.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Solution {
    /// One for each column, none negative.
    pub(super) coefficients: Vec<f64>,
    /// Sum of the squared differences.
    pub(super) squares: f64,
}

/// The coefficients c ≥ 0 for which Σ c · column comes nearest to `target`. Of solutions whose sums of squares
/// differ by no more than `slack` the one with fewer coefficients above 0 is taken.
///
/// The solution of such a problem is the unconstrained one of some subset of its columns, the others being 0 (Lawson
/// and Hanson, "Solving Least Squares Problems", 1974, 23.3: the Kuhn-Tucker conditions); with few columns every subset
/// is tried.
pub(super) fn nonnegative(columns: &[&[f64]], target: &[f64], slack: f64) -> Solution {
    let mut best = Solution { coefficients: vec![0.0; columns.len()], squares: square_sum(target) };
    let mut subsets: Vec<u32> = (1..1 << columns.len()).collect();
    // Subsets of equal size in the order of their columns.
    subsets.sort_by_key(|subset| subset.count_ones());
    for subset in subsets {
        let chosen = |index: usize| subset >> index & 1 == 1;
        let picked: Vec<Vec<f64>> =
            columns.iter().enumerate().filter(|(index, _)| chosen(*index)).map(|(_, column)| column.to_vec()).collect();
        let Some(found) = solve(picked, target.to_vec()) else { continue };
        let better = found.squares < best.squares - slack;
        if better && found.coefficients.iter().all(|coefficient| *coefficient >= 0.0) {
            let mut given = found.coefficients.into_iter();
            let coefficients =
                (0..columns.len()).map(|index| if chosen(index) { given.next().unwrap_or(0.0) } else { 0.0 }).collect();
            best = Solution { coefficients, squares: found.squares };
        }
    }
    best
}

/// Unconstrained least squares by modified Gram-Schmidt, the target projected along with the columns (Björck,
/// "Numerical Methods for Least Squares Problems", 1996, 2.4.2); `None` when a column depends on those before it or is
/// beyond what a number can hold.
fn solve(mut columns: Vec<Vec<f64>>, mut target: Vec<f64>) -> Option<Solution> {
    let norms: Vec<f64> = columns.iter().map(|column| square_sum(column).sqrt()).collect();
    // Rows of the triangle: the diagonal, the coefficients of the later columns, and of the target.
    let mut rows: Vec<(f64, Vec<f64>, f64)> = Vec::with_capacity(columns.len());
    for norm in norms {
        let mut column = columns.remove(0);
        let left = square_sum(&column).sqrt();
        if !(left > norm * DEPENDENT && left.is_finite()) {
            return None;
        }
        column.iter_mut().for_each(|value| *value /= left);
        let later = columns.iter_mut().map(|other| project_out(&column, other)).collect();
        rows.push((left, later, project_out(&column, &mut target)));
    }
    // The last row first; each coefficient needs those of the columns after it.
    let mut coefficients: Vec<f64> = Vec::with_capacity(rows.len());
    for (diagonal, later, goal) in rows.iter().rev() {
        let known: f64 = later.iter().rev().zip(&coefficients).map(|(row, coefficient)| row * coefficient).sum();
        coefficients.push((goal - known) / diagonal);
    }
    coefficients.reverse();
    let finite = coefficients.iter().all(|coefficient| coefficient.is_finite());
    finite.then(|| Solution { coefficients, squares: square_sum(&target) })
}

/// Takes from `vector` what lies along the unit vector `direction`, and says how much that was.
fn project_out(direction: &[f64], vector: &mut [f64]) -> f64 {
    let along = direction.iter().zip(vector.iter()).map(|(a, b)| a * b).sum::<f64>();
    for (value, part) in vector.iter_mut().zip(direction) {
        *value -= along * part;
    }
    along
}

fn square_sum(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_coefficient_that_would_be_negative_is_zero() {
        let (one, rising) = ([1.0, 1.0, 1.0], [0.0, 1.0, 2.0]);
        let found = nonnegative(&[&one, &rising], &[3.0, 2.0, 1.0], 0.0);
        assert!((found.coefficients[0] - 2.0).abs() < 1e-12 && found.coefficients[1] == 0.0);
        assert!((found.squares - 2.0).abs() < 1e-12);
        let found = nonnegative(&[&one, &rising], &[1.0, 3.0, 5.0], 0.0);
        assert!((found.coefficients[0] - 1.0).abs() < 1e-12 && (found.coefficients[1] - 2.0).abs() < 1e-12);
        assert_eq!(nonnegative(&[&one, &rising], &[-1.0, -1.0, -1.0], 0.0).coefficients, [0.0, 0.0]);
    }

    #[test]
    fn columns_that_say_the_same_are_used_once() {
        let one = [1.0, 2.0];
        let found = nonnegative(&[&one, &one, &[0.0, 0.0]], &[2.0, 4.0], 1e-20);
        assert!((found.coefficients[0] - 2.0).abs() < 1e-12 && found.coefficients[1..] == [0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn no_step_into_the_allowed_directions_improves_the_solution(
            values in prop::collection::vec(-10.0f64..10.0, 20),
        ) {
            let parts: Vec<&[f64]> = values.chunks(5).collect();
            let (target, columns) = parts.split_last().unwrap();
            let found = nonnegative(columns, target, 0.0);
            let mut rest = target.to_vec();
            for (coefficient, column) in found.coefficients.iter().zip(columns) {
                rest.iter_mut().zip(*column).for_each(|(rest, value)| *rest -= coefficient * value);
            }
            prop_assert!((square_sum(&rest) - found.squares).abs() < 1e-6);
            for (coefficient, column) in found.coefficients.iter().zip(columns) {
                let slope: f64 = rest.iter().zip(*column).map(|(rest, value)| rest * value).sum();
                prop_assert!(*coefficient >= 0.0 && slope < 1e-6 && (*coefficient == 0.0 || slope > -1e-6));
            }
        }
    }
}
