// Loaded before Ghost. SIGUSR2 makes it fetch its mail provider's reports now, in its own job and with its own code,
// instead of at the next five-minute turn.
process.on('SIGUSR2', () => {
    try {
        const ghost = process.env.SAMSPEL_GHOST_PACKAGE + '/';
        const events = require(require.resolve('@tryghost/domain-events', {paths: [ghost]}));
        const {StartEmailAnalyticsJobEvent} = require(
            ghost + 'core/server/services/email-analytics/events/start-email-analytics-job-event'
        );
        events.dispatch(StartEmailAnalyticsJobEvent.create());
        console.log('fetching the mail provider\'s reports');
    } catch (error) {
        console.error('could not start the job that fetches reports', error);
    }
});
