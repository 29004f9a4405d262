//! How fast and how large:
//! `cargo test --release --lib state::tests::speed -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

/// A row as a large account has it: a name of our own, a hash, header keys, the server's words.
fn typical(rng: &mut Rng, mailbox: MailboxId, uid: u32) -> Row {
    let name = format!("1763800000.{}_{}.mailtide", rng.u32(..), uid);
    let mut row = agreed(mailbox, uid, &name);
    let local = row.local.as_mut().unwrap();
    local.info = "2,S".to_owned();
    local.flags = Flags::system(System::SEEN);
    let size = rng.u64(1000..200_000);
    let date = 1_500_000_000 + i64::from(uid) * 60;
    local.stamp = FileStamp { ino: 1 << 24 | u64::from(uid), size, mtime_ns: date * 1_000_000_000 };
    row.base = Some(Base { flags: local.flags.clone() });
    row.remote.as_mut().unwrap().flags = local.flags.clone();
    row.content = Some(ContentId(bytes(rng)));
    row.header = Some(HeaderKeys { hash: bytes(rng), loose: bytes(rng), has_message_id: true });
    row.words = Some(ServerFacts { size, date, object_id: None });
    row
}

#[test]
#[ignore = "a measurement, not a test"]
fn a_million_rows() {
    let total: u32 = std::env::var("MAILTIDE_ROWS").map_or(1_000_000, |rows| rows.parse().unwrap());
    let mut rng = Rng::with_seed(1);
    let mut fixture = Fixture::new();
    let inbox = fixture.mailbox("INBOX");
    let store = &mut fixture.store;
    let batches: Vec<u32> = (0..total / 20_000).collect();
    for batch in &batches {
        let rows: Vec<Row> =
            (0..20_000).map(|n| typical(&mut rng, inbox, batch * 20_000 + n + 1)).collect();
        let begin = Instant::now();
        let ids = store.transaction(|tx| {
            rows.iter().map(|row| tx.insert_row(row, true)).collect::<Result<Vec<_>>>()
        });
        let inserted = begin.elapsed();
        let ids = ids.unwrap();
        let begin = Instant::now();
        let updated = store.transaction(|tx| {
            rows.iter().zip(&ids).try_for_each(|(row, id)| {
                let flags = Flags::system(System::FLAGGED);
                let base = Some(Base { flags });
                tx.update_row(&Row { id: *id, base, ..row.clone() }, true)
            })
        });
        updated.unwrap();
        if batch % 10 == 0 || *batch + 1 == batches.len() as u32 {
            let updated = begin.elapsed();
            println!("{:>8} rows: insert {inserted:?}, update {updated:?}", batch * 20_000);
        }
    }
    store.checkpoint().unwrap();
    let size = std::fs::metadata(store.path()).unwrap().len();
    println!("{} MB, {} bytes a row", size / 1_000_000, size / u64::from(total));
    let sql = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC";
    if let Ok(parts) = store.all("size", sql, (), |r| Ok((r.get(0)?, r.get(1)?))) {
        let parts: Vec<(String, i64)> = parts;
        println!("{parts:?}");
    }

    let time = |what: &str, ask: &dyn Fn() -> u64| {
        let begin = Instant::now();
        let answer = ask();
        println!("{what}: {answer} in {:?}", begin.elapsed());
    };
    time("uids", &|| uids(store, inbox).len() as u64);
    time("for_each_local", &|| {
        let mut files = 0;
        store.for_each_local(inbox, |_| files += 1).unwrap();
        files
    });
    time("local_count", &|| store.local_count(inbox).unwrap());
    time("remote_count", &|| store.remote_count(inbox).unwrap());
    time("base_count", &|| store.base_count(inbox).unwrap());
    time("counts", &|| store.counts().unwrap().messages);
    time("unsettled", &|| store.unsettled(None, 1000).unwrap().len() as u64);
    time("1000 by_uid", &|| {
        (1..=1000).filter(|n| store.by_uid(inbox, Uid(n * 7)).unwrap().is_some()).count() as u64
    });
}
