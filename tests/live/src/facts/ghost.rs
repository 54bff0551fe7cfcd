//! Facts about Ghost.

use std::time::Duration;

use reqwest::Method;

use super::{Contradiction, Finding, equal, failed, findings, refused};
use crate::ghost::{AdminApi, GhostServer, Member, MemberPatch, Report};

pub(super) async fn check(ghost: &GhostServer) -> Vec<Finding> {
    findings! { ghost;
        "Ghost subscribes a new member to its default newsletter unless it is told otherwise" => default_subscription,
        "Ghost refuses a second member with the same address, and names the field" => duplicate_address,
        "Ghost finds addresses by their exact case only" => case_of_addresses,
        "Ghost answers 404 for members that do not exist, to reads, edits and deletions" => missing_member,
        "Ghost answers 401 to a token that was signed with another secret" => wrong_secret,
        "Ghost keeps a member, and its opt-out, when the address changes" => address_change,
        "Ghost leaves fields alone that an edit does not name" => partial_edit,
        "Ghost unsubscribes with one click, which moves no time stamp but makes an event" => one_click,
        "Ghost suppresses a bounced address, which moves the time stamp, and leaves the subscription as it is" => hard_bounce,
        "Ghost suppresses addresses whose owners complain of spam" => complaint,
        "Ghost's suppression belongs to the address: it ends when the address changes" => suppression_of_address,
    }
}

fn address(name: &str) -> MemberPatch {
    MemberPatch {
        email: Some(format!("{name}@facts.test")),
        ..MemberPatch::default()
    }
}

async fn create(ghost: &GhostServer, name: &str) -> Result<Member, Contradiction> {
    ghost
        .api()
        .create_member(&address(name))
        .await
        .map_err(failed)
}

async fn reread(ghost: &GhostServer, member: &Member) -> Result<Member, Contradiction> {
    let found = ghost
        .api()
        .member_by_email(&member.email)
        .await
        .map_err(failed)?;
    found.ok_or_else(|| format!("{} is gone", member.email))
}

/// Lets the second pass that Ghost's time stamps can tell apart.
async fn next_second() {
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

/// Mails a newsletter to every subscriber.
async fn send_newsletter(ghost: &GhostServer, subject: &str) -> Result<(), Contradiction> {
    let newsletters = ghost.api().newsletters().await.map_err(failed)?;
    let newsletter = newsletters.first().ok_or("there is no newsletter")?;
    ghost
        .api()
        .send_newsletter(newsletter, subject)
        .await
        .map_err(failed)
        .map(|_| ())
}

async fn default_subscription(ghost: &GhostServer) -> Result<(), Contradiction> {
    equal(
        "subscribed",
        create(ghost, "default").await?.subscribed,
        true,
    )?;
    let none = MemberPatch {
        newsletters: Some(Vec::new()),
        ..address("none")
    };
    equal(
        "subscribed",
        ghost
            .api()
            .create_member(&none)
            .await
            .map_err(failed)?
            .subscribed,
        false,
    )
}

async fn duplicate_address(ghost: &GhostServer) -> Result<(), Contradiction> {
    create(ghost, "twice").await?;
    refused(
        ghost.api().create_member(&address("twice")).await,
        "422",
        "\"property\":\"email\"",
    )
}

async fn case_of_addresses(ghost: &GhostServer) -> Result<(), Contradiction> {
    create(ghost, "Mixed.Case").await?;
    let found = ghost
        .api()
        .member_by_email("mixed.case@facts.test")
        .await
        .map_err(failed)?;
    equal("what is found", found.map(|member| member.email), None)
}

async fn missing_member(ghost: &GhostServer) -> Result<(), Contradiction> {
    let nobody = "000000000000000000000000";
    let api = ghost.api();
    refused(
        api.call(Method::GET, &format!("/members/{nobody}/"), None)
            .await,
        "404",
        "NotFoundError",
    )?;
    refused(
        api.edit_member(nobody, &address("nobody")).await,
        "404",
        "NotFoundError",
    )?;
    refused(api.delete_member(nobody).await, "404", "NotFoundError")
}

async fn wrong_secret(ghost: &GhostServer) -> Result<(), Contradiction> {
    let access = ghost.access();
    let id = access.admin_key.split(':').next().unwrap_or_default();
    let other = AdminApi::new(&access.url, &format!("{id}:{}", "00".repeat(32))).map_err(failed)?;
    refused(other.newsletters().await, "401", "INVALID_JWT")
}

async fn address_change(ghost: &GhostServer) -> Result<(), Contradiction> {
    let out = MemberPatch {
        newsletters: Some(Vec::new()),
        ..address("before")
    };
    let before = ghost.api().create_member(&out).await.map_err(failed)?;
    let after = ghost
        .api()
        .edit_member(&before.id, &address("after"))
        .await
        .map_err(failed)?;
    equal("the id", &after.id, &before.id)?;
    equal("subscribed", after.subscribed, false)
}

async fn partial_edit(ghost: &GhostServer) -> Result<(), Contradiction> {
    let note = MemberPatch {
        note: Some("kept".to_owned()),
        ..address("partial")
    };
    let before = ghost.api().create_member(&note).await.map_err(failed)?;
    let name = MemberPatch {
        name: Some("Åsa Öst".to_owned()),
        ..MemberPatch::default()
    };
    let after = ghost
        .api()
        .edit_member(&before.id, &name)
        .await
        .map_err(failed)?;
    equal("the note", after.note.as_deref(), Some("kept"))?;
    equal("subscribed", after.subscribed, true)
}

async fn one_click(ghost: &GhostServer) -> Result<(), Contradiction> {
    let before = create(ghost, "click").await?;
    send_newsletter(ghost, "For one click").await?;
    next_second().await;
    ghost
        .unsubscribe_with_one_click(&before.email)
        .await
        .map_err(failed)?;
    let after = reread(ghost, &before).await?;
    equal("subscribed", after.subscribed, false)?;
    equal("the number of newsletters", after.newsletters.len(), 0)?;
    equal("updated_at", after.updated_at, before.updated_at)?;
    let newest = ghost
        .api()
        .last_subscription(&before.id)
        .await
        .map_err(failed)?;
    equal("the newest event's `subscribed`", newest, Some(false))
}

async fn hard_bounce(ghost: &GhostServer) -> Result<(), Contradiction> {
    let before = create(ghost, "bounce").await?;
    send_newsletter(ghost, "For a bounce").await?;
    next_second().await;
    ghost
        .report(&before.email, Report::HardBounce)
        .await
        .map_err(failed)?;
    let after = reread(ghost, &before).await?;
    let reason = after.email_suppression.info.map(|info| info.reason);
    equal("the reason", reason.as_deref(), Some("fail"))?;
    equal("subscribed", after.subscribed, true)?;
    equal(
        "updated_at is as before",
        after.updated_at == before.updated_at,
        false,
    )
}

/// Two complaints, one right after the other: the second comes while Ghost still works on the first.
async fn complaint(ghost: &GhostServer) -> Result<(), Contradiction> {
    let members = [
        create(ghost, "complaint").await?,
        create(ghost, "complaint-too").await?,
    ];
    send_newsletter(ghost, "For complaints").await?;
    for member in &members {
        ghost
            .report(&member.email, Report::Complaint)
            .await
            .map_err(failed)?;
    }
    for member in &members {
        let info = reread(ghost, member).await?.email_suppression.info;
        let reason = info.map(|info| info.reason);
        equal("the reason", reason.as_deref(), Some("spam"))?;
    }
    Ok(())
}

async fn suppression_of_address(ghost: &GhostServer) -> Result<(), Contradiction> {
    let bounced = ghost
        .api()
        .member_by_email("bounce@facts.test")
        .await
        .map_err(failed)?;
    let bounced = bounced.ok_or("there is no bounced member to change")?;
    equal(
        "suppressed before",
        bounced.email_suppression.suppressed,
        true,
    )?;
    let changed = ghost
        .api()
        .edit_member(&bounced.id, &address("no-bounce"))
        .await
        .map_err(failed)?;
    equal(
        "suppressed after",
        changed.email_suppression.suppressed,
        false,
    )
}
