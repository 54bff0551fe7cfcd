//! Tokens, the audit log, and credentials that were refused.

use samspel_model::access::{
    Access, AuditEntry, AuditOutcome, Authorisations, NewToken, Principal, Refused, Role,
    TokenHash, token_text,
};

use super::*;

/// Calls a macro with the names of all facts about access. A store is a [`Access`] and [`Authorisations`].
#[macro_export]
macro_rules! for_each_access_fact {
    ($then:ident) => {
        $then! {
            a_token_stands_for_its_holder,
            a_token_that_expired_or_was_revoked_is_refused,
            what_is_no_token_is_refused,
            a_name_is_given_once,
            the_use_of_a_token_is_noted_to_the_minute,
            the_audit_log_is_read_newest_first,
            a_refused_credential_is_known_until_it_is_accepted,
        }
    };
}

fn text(number: u8) -> String {
    token_text(&[number; 32])
}

fn token(number: u8, name: &str) -> NewToken {
    NewToken {
        id: format!("t{number}"),
        name: name.to_owned(),
        role: Role::Operator,
        hash: TokenHash::of(&text(number)).unwrap(),
        created: at(i64::from(number)),
        expires: None,
    }
}

pub async fn a_token_stands_for_its_holder(store: Arc<dyn Access>) {
    assert!(store.create_token(token(1, "ann")).await.unwrap());
    let admin = NewToken {
        role: Role::Admin,
        ..token(2, "bo")
    };
    assert!(store.create_token(admin).await.unwrap());
    let found = store.authenticate(&text(1), at(9)).await.unwrap();
    let expected = Principal {
        id: "t1".to_owned(),
        name: "ann".to_owned(),
        role: Role::Operator,
    };
    assert_eq!(found, Some(expected));
    let found = store.authenticate(&text(2), at(9)).await.unwrap();
    assert_eq!(found.map(|found| found.role), Some(Role::Admin));
    let listed = store.tokens().await.unwrap();
    let names: Vec<_> = listed.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["ann", "bo"]);
    assert_eq!(listed[0].created, at(1));
}

pub async fn a_token_that_expired_or_was_revoked_is_refused(store: Arc<dyn Access>) {
    let short = NewToken {
        expires: Some(at(10)),
        ..token(1, "ann")
    };
    store.create_token(short).await.unwrap();
    store.create_token(token(2, "bo")).await.unwrap();
    assert!(store.authenticate(&text(1), at(9)).await.unwrap().is_some());
    assert!(
        store
            .authenticate(&text(1), at(10))
            .await
            .unwrap()
            .is_none()
    );
    let revoked = store.revoke_token("t2", at(20)).await.unwrap().unwrap();
    assert_eq!(revoked.revoked, Some(at(20)));
    assert!(
        store
            .authenticate(&text(2), at(20))
            .await
            .unwrap()
            .is_none()
    );
    let again = store.revoke_token("t2", at(30)).await.unwrap().unwrap();
    assert_eq!(again.revoked, Some(at(20)), "the first time counts");
    assert!(store.revoke_token("t3", at(30)).await.unwrap().is_none());
    assert_eq!(store.tokens().await.unwrap().len(), 2);
}

pub async fn what_is_no_token_is_refused(store: Arc<dyn Access>) {
    store.create_token(token(1, "ann")).await.unwrap();
    for wrong in ["", "samspel_", "t1", &text(2), &text(1)[1..]] {
        assert!(store.authenticate(wrong, at(2)).await.unwrap().is_none());
    }
}

pub async fn a_name_is_given_once(store: Arc<dyn Access>) {
    assert!(store.create_token(token(1, "ann")).await.unwrap());
    assert!(!store.create_token(token(2, "ann")).await.unwrap());
    assert!(store.authenticate(&text(2), at(3)).await.unwrap().is_none());
    store.revoke_token("t1", at(3)).await.unwrap();
    assert!(store.create_token(token(3, "ann")).await.unwrap());
    assert!(store.authenticate(&text(3), at(4)).await.unwrap().is_some());
}

pub async fn the_use_of_a_token_is_noted_to_the_minute(store: Arc<dyn Access>) {
    store.create_token(token(1, "ann")).await.unwrap();
    let used = async || store.tokens().await.unwrap()[0].last_used;
    assert_eq!(used().await, None);
    for (second, noted) in [(100, 100), (130, 100), (159, 100), (160, 160)] {
        store.authenticate(&text(1), at(second)).await.unwrap();
        assert_eq!(used().await, Some(at(noted)), "at {second}");
    }
}

pub async fn the_audit_log_is_read_newest_first(store: Arc<dyn Access>) {
    let entry = |number: i64| AuditEntry {
        at: at(number),
        who: "cli:ann".to_owned(),
        action: "sync pause".to_owned(),
        subject: (number != 2).then(|| "contacts".to_owned()),
        detail: json!({ "number": number }),
        outcome: AuditOutcome::ALL[usize::try_from(number).unwrap() % 3],
    };
    for number in 0..5 {
        store.audit(entry(number)).await.unwrap();
    }
    let newest = store.audited(None, 2).await.unwrap();
    let entries: Vec<_> = newest.iter().map(|(_, entry)| entry.clone()).collect();
    assert_eq!(entries, [entry(4), entry(3)]);
    let older = store.audited(Some(newest[1].0), 9).await.unwrap();
    let entries: Vec<_> = older.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(entries, [entry(2), entry(1), entry(0)]);
}

pub async fn a_refused_credential_is_known_until_it_is_accepted(store: Arc<dyn Authorisations>) {
    let refused = |account: &str, second| Refused {
        account: account.to_owned(),
        credential: "access".to_owned(),
        since: at(second),
        why: "invalid_grant".to_owned(),
    };
    store.refused(refused("shop", 1)).await.unwrap();
    store.refused(refused("crm", 2)).await.unwrap();
    store.refused(refused("crm", 3)).await.unwrap();
    let all = store.all_refused().await.unwrap();
    assert_eq!(all, [refused("crm", 2), refused("shop", 1)]);
    assert!(store.accepted("crm", "access").await.unwrap());
    assert!(!store.accepted("crm", "access").await.unwrap());
    assert_eq!(store.all_refused().await.unwrap(), [refused("shop", 1)]);
}
