import { LIBVERSION } from "./lib/version.js";

// Three files, one answer: this one, a library and config/shop.yaml. Change all
// three in one save, and no client ever sees two of them disagree.
const VERSION = 1;

export default () => ({ handler: VERSION, lib: LIBVERSION, config: config.shop.revision });
