//! All operations, for whoever offers them.

use crate::operation::Operation;
use crate::{
    accounts, alerts, audit, backup, config, connectors, doctor, hooks, key, queues, records,
    syncs, tokens,
};

/// Is shown every operation.
pub trait Visitor {
    /// One of them.
    fn visit<O: Operation>(&mut self);
}

macro_rules! show {
    ($visitor:ident: $($operation:ty),* $(,)?) => { $($visitor.visit::<$operation>();)* };
}

/// Shows every operation.
pub fn each(visitor: &mut impl Visitor) {
    show!(visitor:
        syncs::ListSyncs, syncs::ShowSync, syncs::PlanSync, syncs::RunSync, syncs::VerifySync,
        syncs::PauseSync, syncs::ResumeSync, syncs::ResetSync, syncs::PurgeSync, syncs::UndoRun,
        queues::ListConflicts, queues::ShowConflict, queues::ResolveConflicts,
        queues::ListHolds, queues::ApproveHolds, queues::RejectHolds,
        queues::ListParked, queues::RetryParked, queues::DropParked,
        records::ShowHistory, records::ErasePerson,
        accounts::ListAccounts, accounts::CheckAccount, accounts::CheckAccounts, accounts::AddAccount,
        accounts::ReplaceSecrets, accounts::BeginAuthorisation, accounts::RemoveAccount,
        connectors::ListConnectors, connectors::InspectConnector, connectors::InstallConnector,
        connectors::UpgradeConnector, connectors::ApproveConnector, connectors::RollbackConnector,
        connectors::ConnectorHistory, connectors::TrustKey, connectors::ListKeys, connectors::DistrustKey,
        hooks::ListEndpoints, hooks::RotateEndpoint, hooks::ListHooks, hooks::RetryHooks, hooks::DropHook,
        tokens::CreateToken, tokens::ListTokens, tokens::RevokeToken,
        alerts::ListAlerts, alerts::TestAlerts, backup::CreateBackup,
        audit::ListAudit, config::CheckConfig, doctor::Diagnose, key::RotateKey,
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::Method;

    use super::*;

    #[derive(Default)]
    struct Seen {
        ids: BTreeSet<&'static str>,
        routes: BTreeSet<(String, &'static str)>,
        count: usize,
    }

    impl Visitor for Seen {
        fn visit<O: Operation>(&mut self) {
            let route = O::ROUTE;
            self.ids.insert(route.id);
            self.routes.insert((route.method.to_string(), route.path));
            self.count += 1;
            // Whoever may only look changes nothing.
            if route.method == Method::GET {
                assert!(
                    !route.long,
                    "{}: a request that looks is answered at once",
                    route.id
                );
            } else {
                assert!(
                    route.role > samspel_model::access::Role::Viewer,
                    "{}: it is more than looking",
                    route.id
                );
            }
        }
    }

    #[test]
    fn every_operation_has_a_name_and_a_place_of_its_own() {
        let mut seen = Seen::default();
        each(&mut seen);
        assert_eq!(seen.ids.len(), seen.count);
        assert_eq!(seen.routes.len(), seen.count);
    }
}
