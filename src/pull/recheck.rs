//! Ids that the server may have given to another message of the same size (hazard 113).
//!
//! Messages come in the order in which they arrived. So an id that was free and is given again is
//! the last one, or stands where newer ones were before. There, and only there, the beginning of
//! the message is compared with what was pulled under that id.

use super::classify::{Entry, Known, Name, Sorted};
use super::run::Run;
use crate::account::error::AccountError;
use crate::remote::pop3::Session;

/// So many messages are compared in one pull.
const MOST: usize = 20;

impl Run {
    /// Takes what is another message by now out of what is known: it is fetched, and content says
    /// what it is.
    pub(super) async fn recheck(
        &mut self,
        session: &mut Session,
        sorted: &mut Sorted,
    ) -> Result<(), AccountError> {
        if !session.capabilities().has("TOP") {
            return Ok(());
        }
        let numbers = doubtful(&sorted.known);
        let tops = self.headers(session, &numbers).await?.tops;
        let is_other = |known: &mut Known| {
            let now = tops.get(&known.number);
            known.top.zip(now).is_some_and(|(then, now)| !then.fits(now))
        };
        for known in sorted.known.extract_if(.., is_other) {
            let Some(row) = self.store.drop_row(known.row)? else { continue };
            tracing::info!("message {} is not what was pulled under its id", known.number);
            sorted.new.push(Entry {
                number: known.number,
                name: row.uidl.map_or(Name::None, |uidl| Name::Uidl(uidl.into())),
                size: session.size_of(known.number),
                doubtful: true,
                taken: true,
                tried: None,
                start: tops.get(&known.number).map(|top| Box::new(top.start)),
            });
            sorted.gone.push(known.row);
        }
        Ok(())
    }
}

/// The numbers of messages whose ids may be those of others: the last one, and those that stand
/// behind newer ones.
fn doubtful(known: &[Known]) -> Vec<u32> {
    let told = || known.iter().filter(|known| known.top.is_some() && !known.is_left);
    // Some list the latest first.
    let rises = known.windows(2).filter(|pair| pair[0].row < pair[1].row).count();
    let mut all: Vec<&Known> = told().collect();
    if rises * 2 < known.len().saturating_sub(1) {
        all.reverse();
    }
    let mut latest = i64::MIN;
    let mut numbers: Vec<u32> = all.last().map(|known| known.number).into_iter().collect();
    for known in &all {
        if known.row < latest && !numbers.contains(&known.number) {
            numbers.push(known.number);
        }
        latest = latest.max(known.row);
    }
    numbers.truncate(MOST);
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::read::KnownTop;

    #[test]
    fn ids_are_doubtful_at_the_end_and_behind_newer_ones() {
        let known = |rows: &[i64]| -> Vec<Known> {
            let known = |(number, row): (u32, &i64)| Known {
                number,
                row: *row,
                may_go: true,
                is_left: false,
                days: 0,
                top: Some(KnownTop::Start([0; 32])),
                changed: None,
            };
            (1..).zip(rows).map(known).collect()
        };
        let table: [(&[i64], &[u32]); 6] = [
            (&[], &[]),
            (&[7], &[1]),
            (&[1, 2, 3], &[3]),
            (&[1, 4, 5, 2], &[4]),
            (&[1, 4, 2, 5], &[3, 4]),
            (&[5, 4, 3, 2], &[1]),
        ];
        for (rows, expected) in table {
            assert_eq!(doubtful(&known(rows)), expected, "{rows:?}");
        }
    }
}
