/* A stand-in for Totango's browser collector, so that a page can be tried against the sandbox.
 *
 * A drop-in, also for the documented loader; `?v=2` in its address makes it version 2. What is known of the real
 * one, and from where, stands in docs/browser.md. It sends each event as an image request to the /pixel.gif/
 * beside its own address, never to Totango. As the real one does, it checks no ID: what is wrong arrives in the
 * sandbox, which tells. It needs script-src and img-src of its own address, and no inline script or eval.
 */
(() => {
  "use strict";

  const ACCOUNT_ALIASES = { o: "id", ofid: "fid", odn: "name", account_name: "name" };
  const USER_ALIASES = { u: "id" };
  const ACCOUNT_KEYS = ["id", "name", "fid", "parent", "foreign_keys", "attributes"];
  const PRODUCT_KEYS = ["id", "name", "account_id", "module", "attributes"];
  const USER_KEYS = ["id", "contact", "key_contact", "attributes"];
  const HEARTBEAT_SECONDS = 60;
  const LEAST_OF_VERSION_2 = 30; // below, it sends no heartbeats at all
  const MOST_SECONDS = 86400; // a timer of more than 24 days would fire at once
  const DAY_SECONDS = 86400;

  const script = document.currentScript || document.querySelector('script[src*="/collector.js"]');
  const own = script && script.src ? new URL(script.src) : null;
  const address = own ? new URL("pixel.gif/", own).href : null;
  const isVersion2 = Boolean(own) && own.searchParams.get("v") === "2";
  const flying = new Set(); // an image that nobody holds may be collected before it is sent
  let options = {};
  let who = {};
  let timer = null;
  let usedAt = Date.now(); // the last time that somebody moved, typed, clicked or scrolled
  let isListening = false;

  const isMapping = (value) => typeof value === "object" && value !== null && !(value instanceof Date);
  const isThere = (value) => value !== undefined && value !== null && value !== "";
  const first = (...values) => values.find(isThere);
  const has = (mapping, key) => Object.prototype.hasOwnProperty.call(mapping, key);
  const warn = (message) => console.warn(`totango: ${message}`);
  const nothing = (why) => { warn(`nothing is sent: ${why}`); return null; };

  // What is given

  function text(value) {
    if (isVersion2 && typeof value === "object") {
      return "[object Object]"; // it copies whatever is an object: dates, lists and null too
    }
    return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : String(value);
  }

  function yesNo(value) {
    const word = value ? "yes" : "no";
    return typeof value === "boolean" ? word : text(value);
  }

  /* A mapping in which each thing has one name. Of two, the first counts; in version 2 the last, `o` before `id`. */
  function canonical(value, aliases) {
    if (!isMapping(value)) {
      return isThere(value) ? { id: value } : {};
    }
    const found = { ...value };
    for (const [alias, name] of Object.entries(aliases)) {
      const isUsed = isThere(found[alias]) && (isVersion2 || !isThere(found[name]));
      const isKnown = !isVersion2 || alias !== "account_name"; // to version 2 an attribute
      if (isUsed && isKnown) {
        found[name] = found[alias];
      }
      if (isKnown) {
        delete found[alias];
      }
    }
    return found;
  }

  /* What a call speaks of: without an ID, of the one in force; in version 2, always on top of that. */
  function inForce(given, now, aliases) {
    const [said, known] = [canonical(given, aliases), canonical(now, aliases)];
    if (isThere(said.id) && !isVersion2) {
      return said;
    }
    const id = first(said.id, known.id);
    const both = { ...known, ...said, ...(isThere(id) ? { id } : {}) };
    if (isMapping(known.attributes) && isMapping(said.attributes)) {
      both.attributes = { ...known.attributes, ...said.attributes };
    }
    return both;
  }

  /* The attributes of an entity: those of `attributes`, then every key that has no meaning of its own. */
  function attributes(mapping, known) {
    const found = new Map();
    if (isMapping(mapping.attributes)) {
      Object.entries(mapping.attributes).forEach(([name, value]) => found.set(name, value));
    } else if (has(mapping, "attributes")) {
      found.set("attributes", mapping.attributes);
    }
    Object.entries(mapping).forEach(([name, value]) => known.includes(name) || found.set(name, value));
    return [...found].filter(([, value]) => isVersion2 || (value !== undefined && value !== null));
  }

  const texts = (pairs) => pairs.map(([name, value]) => [name, text(value)]);
  const named = (id) => (isThere(id) ? text(id) : null);

  function asAccount(mapping) {
    if (isVersion2) {
      const pairs = texts(attributes(mapping, ["id", "name", "fid", "attributes"]));
      return { id: named(mapping.id), name: mapping.name, ofid: mapping.fid, pairs };
    }
    const { parent } = mapping;
    const above = canonical(parent, ACCOUNT_ALIASES).id;
    const said = attributes(mapping, ACCOUNT_KEYS);
    const isParent = ([name]) => name === "parent_id";
    const pairs = [
      ...(isThere(above) ? [["parent_id", above]] : said.filter(isParent)),
      ...said.filter((pair) => !isParent(pair)),
      ...(isMapping(mapping.foreign_keys) ? attributes({ attributes: mapping.foreign_keys }, ["attributes"]) : []),
    ];
    return { id: named(mapping.id), name: mapping.name, ofid: mapping.fid, pairs: texts(pairs), parent };
  }

  function asProduct(value) {
    const mapping = canonical(value, {});
    if (isVersion2 || !isThere(mapping.id)) {
      return null;
    }
    return { ...mapping, id: text(mapping.id), pairs: texts(attributes(mapping, PRODUCT_KEYS)) };
  }

  function asUser(mapping) {
    if (isVersion2) {
      return { id: named(mapping.id), pairs: texts(attributes(mapping, ["id", "attributes"])) };
    }
    const pairs = [
      ["Contact", mapping.contact],
      ["Key Contact", mapping.key_contact],
      ...attributes(mapping, USER_KEYS).filter(([name, given]) => name !== "name" || given !== ""),
    ];
    const said = pairs.filter(([, given]) => given !== undefined && given !== null);
    const isContact = (name) => /^(Key )?Contact$/.test(name);
    return {
      id: named(mapping.id),
      pairs: said.map(([name, given]) => [name, isContact(name) ? yesNo(given) : text(given)]),
    };
  }

  // What version 2 keeps in cookies: who identify() named, and attributes that came before their ID

  const COOKIES = { org: "totango.org_name", name: "totango.org_dn", fid: "totango.org_ofid", user: "totango.user" };
  const EARLY = { account: "totango.org_attributes", user: "totango.user_attributes" };

  function keep(name, value, seconds) {
    document.cookie = `${name}=${encodeURIComponent(value)}; max-age=${seconds}; path=/; samesite=lax`;
  }

  const forget = (name) => keep(name, "", 0);

  function kept(name) {
    const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
    return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
  }

  function keepEarly(name, mapping, known) {
    keep(name, JSON.stringify(texts(attributes(mapping, known))), DAY_SECONDS);
    return null;
  }

  function takeEarly(name) {
    const said = kept(name);
    forget(name);
    return said ? JSON.parse(said) : [];
  }

  function fromCookies(mapping, ids) {
    const more = Object.entries(ids).filter(([key, name]) => !isThere(mapping[key]) && kept(name));
    return { ...mapping, ...Object.fromEntries(more.map(([key, name]) => [key, kept(name)])) };
  }

  // What is sent

  function request(account, where, user, said, doing) {
    const pairs = [["sdr_s", text(options.service_id)]];
    const add = (name, value) => isThere(value) && pairs.push([name, text(value)]);
    add("sdr_o", where);
    add("sdr_ofid", account && account.ofid);
    add("sdr_u", user && user.id);
    add("sdr_a", doing && doing.activity);
    add("sdr_m", doing && doing.module);
    add("sdr_odn", account && account.name);
    said.forEach(([name, value]) => pairs.push([`sdr_o.${name}`, value]));
    (user ? user.pairs : []).forEach(([name, value]) => pairs.push([`sdr_u.${name}`, value]));
    pairs.push(["r", String(Math.random())]); // the real one keeps caches away by this
    const image = new Image();
    const landed = () => flying.delete(image);
    flying.add(image);
    image.onload = landed;
    image.onerror = landed;
    image.src = `${address}?${pairs.map((pair) => pair.map(encodeURIComponent).join("=")).join("&")}`;
    return image;
  }

  function isReady() {
    if (!isThere(options.service_id)) {
      return nothing("window.totango_options has no service_id");
    }
    return address ? true : nothing("this script does not know its own address; load it with <script src>");
  }

  /* Up to three requests: what an account or its parent has to say of itself never goes on another's. */
  function send(given, doing) {
    const account = asAccount(inForce(given.account, who.account, ACCOUNT_ALIASES));
    const user = given.noUser ? null : asUser(inForce(given.user, who.user, USER_ALIASES));
    const product = given.noProduct ? null : asProduct(isThere(given.product) ? given.product : who.product);
    if (!isReady()) {
      return null;
    }
    if (!account.id && (!options.allow_empty_accounts || given.noUser)) {
      return nothing("there is no account");
    }
    const hasUser = Boolean(user && user.id);
    if ((doing || given.needsUser || !account.id) && !hasUser) {
      return nothing("there is no user");
    }
    const at = doing && { activity: doing.activity, module: moduleOf(doing, product) };
    return requests(account, hasUser ? user : null, product, at);
  }

  function requests(account, user, product, at) {
    if (!account.id) {
      return [request(null, null, user, [], at)];
    }
    const sent = ofParent(account.parent);
    if (!product) {
      return [...sent, request(account, account.id, user, account.pairs, at)];
    }
    if (account.name || account.ofid || account.pairs.length) {
      sent.push(request(account, account.id, null, account.pairs, null));
    }
    const where = isThere(product.account_id) ? text(product.account_id) : `${account.id}_${product.id}`;
    const said = [["parent_id", account.id], ["product_id", product.id], ...product.pairs];
    return [...sent, request({ name: product.name }, where, user, said, at)];
  }

  function ofParent(parent) {
    if (!isMapping(parent)) {
      return [];
    }
    const above = asAccount(canonical(parent, ACCOUNT_ALIASES));
    const says = above.id && (isThere(above.name) || isThere(above.ofid) || above.pairs.length > 0);
    return says ? [...ofParent(above.parent), request(above, above.id, null, above.pairs, null)] : [];
  }

  function moduleOf(doing, product) {
    const fallback = doing.activity === "__heartbeat" ? "__system" : undefined;
    return first(doing.module, product && product.module, options.module, fallback);
  }

  /* Version 2 sends one request, always with a user, and with the module even beside attributes only. */
  function sendOne(given, doing) {
    const ofAccount = { id: COOKIES.org, name: COOKIES.name, fid: COOKIES.fid };
    const account = asAccount(fromCookies(inForce(given.account, who.account, ACCOUNT_ALIASES), ofAccount));
    const user = asUser(fromCookies(inForce(given.user, who.user, USER_ALIASES), { id: COOKIES.user }));
    if (!isReady()) {
      return null;
    }
    if (!user.id) {
      return nothing("there is no user");
    }
    if (!account.id && !options.allow_empty_accounts) {
      return nothing("there is no account");
    }
    const at = { activity: doing && doing.activity, module: first(doing && doing.module, options.module) };
    user.pairs.unshift(...takeEarly(EARLY.user));
    return request(account, account.id, user, [...takeEarly(EARLY.account), ...account.pairs], at);
  }

  // Who is in force

  /* The IDs may stand at the top of the options, under the names that they once had there. */
  function take(given) {
    const said = canonical(given.account, ACCOUNT_ALIASES);
    const top = ["o", "odn", "ofid", "fid"].filter((name) => isThere(given[name]));
    const old = canonical(Object.fromEntries(top.map((name) => [name, given[name]])), ACCOUNT_ALIASES);
    if (isMapping(given.account) || isThere(given.account) || top.length) {
      who.account = isVersion2 ? said : { ...old, ...said };
    }
    if (isMapping(given.user) || isThere(given.user)) {
      who.user = canonical(given.user, USER_ALIASES);
    }
    const name = first(given.username, isVersion2 ? undefined : given.u);
    if (isThere(name) && !isThere((who.user || {}).id)) {
      who.user = { ...who.user, id: name };
    }
    if (isThere(given.product)) {
      who.product = given.product;
    }
  }

  /* Take over options, or window.totango_options as they are now, and begin to tell the time spent. */
  function go(given) {
    const isGiven = isMapping(given);
    const now = isGiven ? given : window.totango_options;
    const before = isVersion2 ? { service_id: options.service_id, allow_empty_accounts: true } : options;
    who = isGiven ? who : {};
    options = { ...(isGiven ? before : { allow_empty_accounts: isVersion2 }), ...now, module: (now || {}).module };
    take(isMapping(now) ? now : {});
    const hasUser = isThere((who.user || {}).id);
    startBeating(hasUser);
    return hasUser ? 1 : -2;
  }

  function identify(account, user, product) {
    who = {
      account: isThere(account) ? inForce(account, who.account, ACCOUNT_ALIASES) : who.account,
      user: isThere(user) ? inForce(user, who.user, USER_ALIASES) : who.user,
      product: isThere(product) ? product : who.product,
    };
    return send({});
  }

  function identifyOne(account, user) {
    const known = (given, now, aliases) => (isMapping(given) ? inForce(given, now, aliases) : canonical(given, {}));
    who.account = known(account, who.account, ACCOUNT_ALIASES);
    who.user = known(user, who.user, USER_ALIASES);
    const [ofAccount, ofUser] = [asAccount(who.account), asUser(who.user)];
    keep(COOKIES.org, ofAccount.id || "", DAY_SECONDS);
    keep(COOKIES.name, ofAccount.name || "", DAY_SECONDS);
    keep(COOKIES.fid, ofAccount.ofid || "", DAY_SECONDS);
    keep(COOKIES.user, ofUser.id || "", DAY_SECONDS);
    if (!ofAccount.pairs.length) {
      return null;
    }
    return ofAccount.id ? sendOne({}) : keepEarly(EARLY.account, who.account, ["id", "name", "fid"]);
  }

  function setAccountAttributesOne(account) {
    const said = inForce(account, who.account, ACCOUNT_ALIASES);
    const id = first(said.id, kept(COOKIES.org));
    return isThere(id) ? sendOne({ account }) : keepEarly(EARLY.account, said, ["id", "name", "fid"]);
  }

  function setUserAttributesOne(account, user) {
    const said = inForce(user, who.user, USER_ALIASES);
    const id = first(said.id, kept(COOKIES.user));
    return isThere(id) ? sendOne({ account, user }) : keepEarly(EARLY.user, said, ["id"]);
  }

  /* Nobody is in force any more. */
  function clear() {
    who = {};
    window.clearTimeout(timer);
  }

  /* Version 2 forgets what it keeps in cookies and in `attributes`; who the page named stays in force in it. */
  function clearOne() {
    [...Object.values(COOKIES), ...Object.values(EARLY)].forEach(forget);
    [who.account, who.user].filter(Boolean).forEach((mapping) => delete mapping.attributes);
  }

  // Time spent

  function secondsBetween() {
    const asked = Number(first(options.heartbeat_timeout_sec, HEARTBEAT_SECONDS));
    if (isVersion2) {
      return asked >= LEAST_OF_VERSION_2 ? Math.min(asked, MOST_SECONDS) : 0;
    }
    return asked >= 1 ? Math.min(asked, MOST_SECONDS) : HEARTBEAT_SECONDS;
  }

  const idleSeconds = () => Number(first(options.heartbeat_idle_timeout_sec, HEARTBEAT_SECONDS));
  const isIdle = () => Date.now() - usedAt > idleSeconds() * 1000;

  function startBeating(hasUser) {
    window.clearTimeout(timer);
    if (!hasUser || options.disable_heartbeat || !isThere(options.service_id) || !secondsBetween()) {
      return;
    }
    usedAt = Date.now();
    if (isVersion2 && !isListening) {
      isListening = true;
      ["keyup", "mousemove", "click", "scroll"].forEach((name) => window.addEventListener(name, quietly(used)));
    }
    beat(true);
  }

  function beat(isFirst) {
    timer = window.setTimeout(quietly(beat), secondsBetween() * 1000);
    if (isVersion2) {
      if (isIdle()) {
        return window.clearTimeout(timer); // until somebody uses the page again
      }
      return sendOne({}, { activity: "__heartbeat", module: first(options.module, "__system") });
    }
    const hasAccount = isThere(canonical(who.account, ACCOUNT_ALIASES).id) || options.allow_empty_accounts;
    const isSeen = isFirst === true || document.visibilityState === "visible";
    return hasAccount && isSeen ? heartbeat() : null;
  }

  function used() {
    const wasIdle = isIdle();
    usedAt = Date.now();
    if (wasIdle && !options.disable_heartbeat && secondsBetween()) {
      window.clearTimeout(timer);
      beat();
    }
  }

  function heartbeat(module, account, user, product) {
    return send({ account, user, product }, { activity: "__heartbeat", module });
  }

  // The calls

  /* Whatever the page gave: its own code goes on. */
  function quietly(call, otherwise = null) {
    return (...given) => {
      try {
        return call(...given);
      } catch (error) {
        nothing(error);
        return otherwise;
      }
    };
  }

  const CALLS_OF_2 = {
    track: (activity, module, account, user) => sendOne({ account, user }, { activity, module }),
    identify: identifyOne,
    setAccountAttributes: setAccountAttributesOne,
    setUserAttributes: setUserAttributesOne,
    clear: clearOne,
    heartbeat: () => sendOne({}, { activity: "__heartbeat", module: first(options.module, "__system") }),
  };
  const CALLS = {
    track: (activity, module, account, user, product) => send({ account, user, product }, { activity, module }),
    identify,
    setAccountAttributes: (account) => send({ account, noUser: true, noProduct: true }),
    setUserAttributes: (account, user) => send({ account, user, needsUser: true }),
    clear,
    heartbeat,
  };

  /* What the page called while this script was on its way, as the documented loader has noted it. */
  function replay(tracker) {
    const early = window.totango_tmp_stack;
    if (!Array.isArray(early)) {
      return;
    }
    for (const { activity, module, org, user } of early.splice(0)) {
      tracker.track(activity, module, org, user);
    }
  }

  const tracker = { go: quietly(go, -2) };
  for (const [name, call] of Object.entries(isVersion2 ? CALLS_OF_2 : CALLS)) {
    tracker[name] = quietly(call);
  }
  const asked = isMapping(window.totango_options) ? window.totango_options.tracker_name : undefined;
  window[isThere(asked) ? String(asked) : "totango"] = tracker;
  window[isVersion2 ? "__totango2" : "__totango3"] = tracker; // by which pages know that it has come
  tracker.go();
  quietly(replay)(tracker);
})();
