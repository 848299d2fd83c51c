/**
 * The typed client: `Livescope.connect()` gives one, `client.createSession()` a {@link Session}, and from there everything
 * follows. What can go wrong is a {@link LivescopeError}.
 *
 * @module @livescope/sdk
 */
export * from "@livescope/sdk";
