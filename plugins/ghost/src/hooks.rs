//! Webhooks: which member one is about, and the integration's webhooks that send them.

use samspel_connector::hooks::{
    Hint, HookDescriptor, HookReplies, HookRequest, HookScope, Proof, Receipt, Subscription,
};
use samspel_connector::jiff::{SignedDuration, Timestamp};
use samspel_connector::secrets::{Algorithm, SecretError, verify};
use samspel_connector::{
    AuthKind, AuthScheme, Failure, KeyEncoding, Result, Signing, clock, http, log,
};
use serde::Deserialize;

use crate::MEMBERS;
use crate::api::{self, Api};

/// The credential with which Ghost signs webhooks, where the operator gave it one.
const CREDENTIAL: &str = "webhook";

/// What happens to members; each event is a webhook of its own.
const EVENTS: [&str; 3] = ["member.added", "member.edited", "member.deleted"];

/// How far the clocks of Ghost and the host may be apart, and how long a webhook may be under way.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Stands for a webhook that is there and whose id Ghost does not tell.
const UNKNOWN: &str = "-";

const HELP_SECRET: &str = "Only for webhooks that were entered by hand with a secret: that secret. Without it, webhooks \
    are known by the secret in their address.";
const HELP: &str = "Samspel enters the webhooks itself, without a signature. For signed ones: Ghost's settings, \
    Integrations, the custom integration, \"Add webhook\"; one each for \"Member added\", \"Member updated\" and \
    \"Member deleted\", with the address as target URL and a secret of at least 20 random characters, which is the \
    credential `webhook`.";

/// The credential, which only signed webhooks need.
pub fn credential() -> AuthScheme {
    AuthScheme::new(
        CREDENTIAL,
        "webhook-secret",
        HELP_SECRET,
        AuthKind::Signing(Signing::hmac_sha256(KeyEncoding::Utf8)),
    )
}

/// How a site's webhooks work.
pub fn describe() -> HookDescriptor {
    HookDescriptor {
        scope: HookScope::Account,
        replies: HookReplies::Never,
        // The code and the time share one header, and there may be none.
        proof: Proof::Connector,
        can_subscribe: true,
        help: HELP.to_owned(),
    }
}

/// `X-Ghost-Signature: sha256=HEX, t=MILLISECONDS`
struct Signature<'a> {
    code: Vec<u8>,
    at: &'a str,
}

impl<'a> Signature<'a> {
    fn of(request: &'a HookRequest) -> Option<Self> {
        let header = request.header("x-ghost-signature")?;
        let part = |name: &str| {
            header
                .split(',')
                .filter_map(|part| part.trim().split_once('='))
                .find(|(candidate, _)| *candidate == name)
                .map(|(_, value)| value)
        };
        Some(Self {
            code: hex::decode(part("sha256")?).ok()?,
            at: part("t")?,
        })
    }

    fn is_timely(&self) -> bool {
        let at = self.at.parse().ok();
        at.and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .is_some_and(|at| clock::now().duration_since(at).abs() <= TOLERANCE)
    }
}

/// Is it Ghost's? Where there is no credential, the secret in the address has said so already.
fn believe(request: &HookRequest) -> Result<()> {
    let signature = Signature::of(request);
    // Without a signature the question is only whether there should be one.
    let (message, code) = match &signature {
        Some(signature) => (
            [&request.body, signature.at.as_bytes()].concat(),
            &*signature.code,
        ),
        None => (Vec::new(), &[][..]),
    };
    match verify(CREDENTIAL, Algorithm::HmacSha256, &message, code) {
        Err(SecretError::Missing(_)) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(right) => match &signature {
            None => Err(Failure::Unauthorized("it is not signed".to_owned())),
            Some(_) if !right => Err(Failure::Unauthorized(
                "the signature is not that of credential `webhook`".to_owned(),
            )),
            Some(signature) if !signature.is_timely() => Err(Failure::Unauthorized(
                "it was sent more than five minutes ago, or will be; check the clocks".to_owned(),
            )),
            Some(_) => Ok(()),
        },
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    member: Option<Change>,
}

/// A member before and after; a side that does not exist is empty.
#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    current: Side,
    #[serde(default)]
    previous: Side,
}

#[derive(Default, Deserialize)]
struct Side {
    #[serde(default)]
    id: Option<String>,
}

/// The member that a webhook is about.
pub fn receive(request: &HookRequest) -> Result<Receipt> {
    believe(request)?;
    let body: Body = request.json()?;
    let id = body
        .member
        .and_then(|member| member.current.id.or(member.previous.id));
    let hint = id
        .filter(|id| !id.is_empty())
        .map(|id| Hint::new(MEMBERS, id));
    Ok(Receipt::hints(hint))
}

/// One webhook for each event. Ghost refuses a second one for the same event and address, and integrations cannot list
/// them: of those that are there already, the id is not known.
pub fn subscribe(api: &Api, url: &str) -> Result<Subscription> {
    if !matches!(
        verify(CREDENTIAL, Algorithm::HmacSha256, &[], &[]),
        Err(SecretError::Missing(_))
    ) {
        return Err(Failure::Other(format!(
            "with the credential `{CREDENTIAL}` all webhooks must be signed, and its secret cannot be handed to Ghost by \
             the connector. Remove the credential, or enter the webhooks by hand. {HELP}"
        )));
    }
    let answers = http::send_all(EVENTS.map(|event| api.add_webhook(event, url)));
    let made: Vec<Result<Option<String>>> = answers
        .into_iter()
        .map(|answer| api::webhook_made(answer, url))
        .collect();
    if let Some(failure) = made.iter().find_map(|made| made.as_ref().err()) {
        // The id of a webhook that is left behind would be lost.
        let ids = made.iter().flatten().flatten();
        http::send_all(ids.map(|id| api.remove_webhook(id)));
        return Err(failure.clone());
    }
    let ids = made.into_iter().flatten();
    let ids: Vec<String> = ids
        .map(|id| id.unwrap_or_else(|| UNKNOWN.to_owned()))
        .collect();
    Ok(Subscription::new(ids.join(",")))
}

/// Removes those whose id is known. Ghost removes the others itself when their address answers 410.
pub fn unsubscribe(api: &Api, id: &str) -> Result<()> {
    let known: Vec<&str> = id.split(',').filter(|id| *id != UNKNOWN).collect();
    if known.len() < EVENTS.len() {
        log::warn(
            "some of the site's webhooks were not made by this subscription; remove them in Ghost's settings",
        );
    }
    for answer in http::send_all(known.into_iter().map(|id| api.remove_webhook(id))) {
        let answer = answer?;
        if answer.status() != 404 {
            api::read(Ok(answer))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use samspel_connector::json;
    use samspel_connector::testing::{Remote, Reply, code, notification};

    use crate::settings::Settings;

    /// The double's clock.
    const NOW: u64 = 1_795_497_360_000;
    const URL: &str = "https://samspel.example/hooks/g/s3cret";

    fn api() -> Api {
        let settings = Settings {
            url: "https://ghost.test".to_owned(),
            newsletter: None,
        };
        Api::open(&settings).unwrap()
    }

    fn edited() -> HookRequest {
        let body = json!({"member": {"current": {"id": "m1", "email": "a@x.test"}, "previous": {"name": "A"}}});
        notification("POST", body.to_string())
    }

    /// As Ghost would sign it with this secret.
    fn signed(credential: &str, at: u64) -> HookRequest {
        let request = edited();
        let message = [&*request.body, at.to_string().as_bytes()].concat();
        let code = hex::encode(code(credential, &message));
        request.with_header("X-Ghost-Signature", &format!("sha256={code}, t={at}"))
    }

    fn remote() -> Remote {
        Remote::new(|request| panic!("{} {}", request.method, request.url)).now(NOW)
    }

    #[test]
    fn a_webhook_is_about_one_member_also_when_it_is_gone() {
        let remote = remote().without_credential(CREDENTIAL);
        let hint = |body: &str| remote.run(|| receive(&notification("POST", body)).unwrap().hints);
        let member = |id: &str| vec![Hint::new(MEMBERS, id)];
        assert_eq!(
            remote.run(|| receive(&edited()).unwrap().hints),
            member("m1")
        );
        assert_eq!(
            hint(r#"{"member":{"current":{},"previous":{"id":"m2"}}}"#),
            member("m2")
        );
        assert_eq!(hint(r#"{"post":{"current":{"id":"p"}}}"#), []);
        assert_eq!(hint(r#"{"member":{"current":{}}}"#), []);
    }

    #[test]
    fn with_a_credential_only_what_it_signed_lately_is_believed() {
        let told = |request: HookRequest| remote().run(|| receive(&request));
        assert!(told(signed(CREDENTIAL, NOW)).is_ok());
        assert!(told(signed(CREDENTIAL, NOW - 299_000)).is_ok());
        let garbled = edited().with_header("x-ghost-signature", "sha256=zz, t=x");
        for refused in [
            signed(CREDENTIAL, NOW - 301_000),
            signed(CREDENTIAL, NOW + 301_000),
            signed("other", NOW),
            edited(),
            garbled,
        ] {
            let answer = told(refused);
            assert!(
                matches!(answer, Err(Failure::Unauthorized(_))),
                "{answer:?}"
            );
        }
        let mut changed = signed(CREDENTIAL, NOW);
        changed.body.push(b' ');
        assert!(matches!(told(changed), Err(Failure::Unauthorized(_))));
    }

    /// Answers the three creates in turn, and everything else with 204.
    fn creating(answers: [Reply; 3]) -> Remote {
        let mut answers = answers.into_iter();
        Remote::new(move |request| match request.method.as_str() {
            "POST" => answers.next().unwrap(),
            _ => Reply::new(204),
        })
        .without_credential(CREDENTIAL)
    }

    fn made(id: &str) -> Reply {
        Reply::json(201, json!({"webhooks": [{"id": id}]}))
    }

    fn taken() -> Reply {
        let context = "Target URL has already been used for this event.";
        Reply::json(
            422,
            json!({"errors": [{"message": "Validation error, cannot save webhook.", "context": context}]}),
        )
    }

    fn removed(remote: &Remote) -> Vec<String> {
        let requests = remote.requests().into_iter();
        requests
            .filter(|request| request.method == "DELETE")
            .map(|request| {
                let path = "https://ghost.test/ghost/api/admin/webhooks/";
                request.url.strip_prefix(path).unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn each_event_has_a_webhook_and_all_are_removed() {
        let remote = creating([made("a"), made("b"), made("c")]);
        let subscription = remote.run(|| subscribe(&api(), URL)).unwrap();
        assert_eq!(subscription, Subscription::new("a,b,c"));
        remote.run(|| unsubscribe(&api(), "a,b,c")).unwrap();
        assert_eq!(removed(&remote), ["a/", "b/", "c/"]);
        assert_eq!(remote.logged(), [""; 0]);
    }

    #[test]
    fn what_is_there_already_is_not_made_again() {
        let remote = creating([taken(), made("b"), taken()]);
        let subscription = remote.run(|| subscribe(&api(), URL)).unwrap();
        assert_eq!(subscription.id, "-,b,-");
        remote
            .run(|| unsubscribe(&api(), &subscription.id))
            .unwrap();
        assert_eq!(removed(&remote), ["b/"]);
        assert_eq!(remote.logged().len(), 1);
    }

    #[test]
    fn a_failure_leaves_no_webhook_behind_and_does_not_tell_the_address() {
        let refusal = Reply::json(
            403,
            json!({"errors": [{"message": format!("no webhook for {URL}")}]}),
        );
        let remote = creating([made("a"), refusal, made("c")]);
        let Err(Failure::Forbidden(why)) = remote.run(|| subscribe(&api(), URL)) else {
            panic!("it was refused");
        };
        assert!(
            why.contains("no webhook") && !why.contains("s3cret"),
            "{why}"
        );
        assert_eq!(removed(&remote), ["a/", "c/"]);
    }

    #[test]
    fn signed_webhooks_are_entered_by_hand() {
        let answer = remote().run(|| subscribe(&api(), URL));
        assert!(matches!(answer, Err(Failure::Other(_))), "{answer:?}");
    }
}
