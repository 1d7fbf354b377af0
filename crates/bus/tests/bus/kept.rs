use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::kept::{Holding, keep};
use nuncius_bus::kv::BucketWanted;

use crate::support::{client, server_and_bus};

const LIFE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_kept_entry_belongs_to_one_process_and_goes_with_it_and_the_next_in_line_takes_it() {
    let (server, bus) = server_and_bus().await;
    let routes =
        bus.ensure_bucket(&BucketWanted { name: "route".to_owned(), ..BucketWanted::default() }).await.unwrap();
    let second_bus = client(&server).await;
    let second_routes = second_bus.kv("route").await.unwrap();
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    let first = keep(&routes, "stub", one.clone(), LIFE).await.unwrap();
    assert_eq!(first.holding(), Holding::Own);
    let second = keep(&second_routes, "stub", two.clone(), LIFE).await.unwrap();
    assert_eq!(second.holding(), Holding::Other(one.clone()));
    // Written again for as long as it is kept.
    let mut own = first.watch();
    assert!(tokio::time::timeout(LIFE * 2, own.changed()).await.is_err());
    assert_eq!(routes.get("stub").await.unwrap().unwrap().value, one);
    // Gone without a word, like a process that is killed.
    drop(first);
    let mut state = second.watch();
    let taken = tokio::time::timeout(Duration::from_secs(10), state.wait_for(|state| *state == Holding::Own));
    taken.await.expect("the second takes it over").unwrap();
    assert_eq!(routes.get("stub").await.unwrap().unwrap().value, two);
    second.release().await;
    assert!(routes.get("stub").await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_person_has_written_is_never_written_over() {
    let (_server, bus) = server_and_bus().await;
    let routes =
        bus.ensure_bucket(&BucketWanted { name: "route".to_owned(), ..BucketWanted::default() }).await.unwrap();
    let kept = keep(&routes, "stub", Bytes::from_static(b"service"), LIFE).await.unwrap();
    let by_hand = Bytes::from_static(b"by hand");
    routes.put("stub", by_hand.clone()).await.unwrap();
    let mut state = kept.watch();
    let other = Holding::Other(by_hand.clone());
    tokio::time::timeout(Duration::from_secs(10), state.wait_for(|state| *state == other)).await.unwrap().unwrap();
    kept.release().await;
    assert_eq!(routes.get("stub").await.unwrap().unwrap().value, by_hand);
}
