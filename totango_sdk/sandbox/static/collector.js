/* A stand-in for Totango's browser collector, so that a page can be tried against the sandbox.
 *
 * It reads window.totango_options when it loads, and again at totango.go(). It sends each event as an
 * image request to the /pixel.gif/ beside its own address, never to Totango. As the real one does, it
 * checks no ID: what is wrong arrives in the sandbox, which tells. Needs no inline script, no eval and no
 * more of a content security policy than script-src and img-src of its own address.
 */
(() => {
  "use strict";

  const ACCOUNT_KEYS = ["id", "o", "name", "odn", "ofid", "fid", "parent", "foreign_keys", "attributes"];
  const PRODUCT_KEYS = ["id", "name", "account_id", "module", "attributes"];
  const USER_KEYS = ["id", "u", "contact", "key_contact", "attributes"];
  const HEARTBEAT_SECONDS = 60;
  const MOST_SECONDS = 86400; // a timer of more than 24 days would fire at once

  const script = document.currentScript || document.querySelector('script[src*="/collector.js"]');
  const address = script && script.src ? new URL("pixel.gif/", script.src).href : null;
  const flying = new Set(); // an image that nobody holds may be collected before it is sent
  let options = {};
  let who = {};
  let timer = null;

  const isMapping = (value) => typeof value === "object" && value !== null && !(value instanceof Date);
  const isThere = (value) => value !== undefined && value !== null && value !== "";
  const first = (...values) => values.find(isThere);
  const has = (mapping, key) => Object.prototype.hasOwnProperty.call(mapping, key);
  const warn = (message) => console.warn(`totango: nothing is sent: ${message}`);

  function text(value) {
    return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : String(value);
  }

  function yesNo(value) {
    return typeof value === "boolean" ? (value ? "yes" : "no") : text(value);
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
    return [...found].filter(([, value]) => value !== undefined && value !== null);
  }

  function asAccount(value) {
    if (!isMapping(value)) {
      return isThere(value) ? { id: text(value), pairs: [] } : null;
    }
    const parent = isMapping(value.parent) ? first(value.parent.id, value.parent.o) : value.parent;
    const own = attributes(value, ACCOUNT_KEYS);
    const named = own.filter(([name]) => name === "parent_id");
    const pairs = [
      ...(isThere(parent) ? [["parent_id", parent]] : named),
      ...own.filter(([name]) => name !== "parent_id"),
      ...(isMapping(value.foreign_keys) ? attributes({ attributes: value.foreign_keys }, ["attributes"]) : []),
    ];
    const id = first(value.id, value.o);
    return {
      id: isThere(id) ? text(id) : null,
      name: first(value.name, value.odn),
      ofid: first(value.fid, value.ofid),
      pairs: pairs.map(([name, given]) => [name, text(given)]),
    };
  }

  function asProduct(value) {
    if (!isMapping(value)) {
      return isThere(value) ? { id: text(value), pairs: [] } : null;
    }
    const pairs = attributes(value, PRODUCT_KEYS).map(([name, given]) => [name, text(given)]);
    return isThere(value.id) ? { ...value, id: text(value.id), pairs } : null;
  }

  function asUser(value) {
    if (!isMapping(value)) {
      return isThere(value) ? { id: text(value), pairs: [] } : null;
    }
    const pairs = [
      ["Contact", value.contact],
      ["Key Contact", value.key_contact],
      ...attributes(value, USER_KEYS).filter(([name, given]) => name !== "name" || given !== ""),
    ];
    const id = first(value.id, value.u);
    return {
      id: isThere(id) ? text(id) : null,
      pairs: pairs
        .filter(([, given]) => given !== undefined && given !== null)
        .map(([name, given]) => [name, /^(Key )?Contact$/.test(name) ? yesNo(given) : text(given)]),
    };
  }

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
  }

  /* One or two requests: what an account has to say of itself never goes on its product account's. */
  function send(given, doing) {
    const account = asAccount(isThere(given.account) ? given.account : who.account);
    const user = given.noUser ? null : asUser(isThere(given.user) ? given.user : who.user);
    const product = given.noProduct ? null : asProduct(isThere(given.product) ? given.product : who.product);
    const nobody = !account || !account.id;
    if (!isThere(options.service_id)) {
      return warn("window.totango_options has no service_id");
    }
    if (!address) {
      return warn("this script does not know its own address; load it with <script src>");
    }
    if (nobody && (!options.allow_empty_accounts || given.noUser)) {
      return warn("there is no account");
    }
    if ((doing || given.needsUser || nobody) && !(user && user.id)) {
      return warn("there is no user");
    }
    const at = doing && { activity: doing.activity, module: moduleOf(doing, product) };
    const asked = user && user.id ? user : null;
    if (nobody) {
      return request(null, null, asked, [], at);
    }
    if (!product) {
      return request(account, account.id, asked, account.pairs, at);
    }
    if (account.name || account.ofid || account.pairs.length) {
      request(account, account.id, null, account.pairs, null);
    }
    const where = isThere(product.account_id) ? text(product.account_id) : `${account.id}_${product.id}`;
    const said = [["parent_id", account.id], ["product_id", product.id], ...product.pairs];
    return request({ name: product.name }, where, asked, said, at);
  }

  function moduleOf(doing, product) {
    const fallback = doing.activity === "__heartbeat" ? "__system" : undefined;
    return first(doing.module, product && product.module, options.module, fallback);
  }

  function takeOver(account, user, product) {
    who = {
      account: isThere(account) ? account : who.account,
      user: isThere(user) ? user : who.user,
      product: isThere(product) ? product : who.product,
    };
  }

  function heartbeat(module, account, user, product) {
    send({ account, user, product }, { activity: "__heartbeat", module });
  }

  /* Read the options. The IDs may stand at their top, under the names that they once had there. */
  function go() {
    options = isMapping(window.totango_options) ? { ...window.totango_options } : {};
    let account = options.account;
    const old = ["o", "odn", "ofid", "fid"].filter((name) => isThere(options[name]));
    if (old.length) {
      const top = Object.assign({}, ...old.map((name) => ({ [name]: options[name] })));
      account = { ...top, ...(isMapping(account) ? account : isThere(account) ? { id: account } : {}) };
    }
    let user = options.user;
    const name = first(options.username, options.u);
    if (isThere(name) && !(asUser(user) || {}).id) {
      user = isMapping(user) ? { ...user, id: name } : name;
    }
    who = { account, user, product: options.product };
    beat();
  }

  function beat() {
    window.clearInterval(timer);
    const asked = Number(first(options.heartbeat_timeout_sec, HEARTBEAT_SECONDS));
    const seconds = asked >= 1 ? Math.min(asked, MOST_SECONDS) : HEARTBEAT_SECONDS;
    if (!options.disable_heartbeat && isThere(options.service_id)) {
      timer = window.setInterval(quietly(beatNow), seconds * 1000);
    }
  }

  function beatNow() {
    const account = asAccount(who.account);
    const user = asUser(who.user);
    const known = user && user.id && ((account && account.id) || options.allow_empty_accounts);
    if (known && document.visibilityState === "visible") {
      heartbeat();
    }
  }

  /* Whatever the page gave: its own code goes on. */
  function quietly(call) {
    return (...given) => {
      try {
        call(...given);
      } catch (error) {
        warn(error);
      }
    };
  }

  window.totango = {
    go: quietly(go),
    track: quietly((activity, module, account, user, product) => send({ account, user, product }, { activity, module })),
    identify: quietly((account, user, product) => {
      takeOver(account, user, product);
      send({});
    }),
    set_account_attributes: quietly((account) => send({ account, noUser: true, noProduct: true })),
    set_user_attributes: quietly((account, user) => send({ account, user, needsUser: true })),
    heartbeat: quietly(heartbeat),
  };
  window.totango.go();
})();
