// Keep the report and tell the live feed.
export default ({ report }) => {
  kv.set("report:last", report);
  emit("reports", report);
  log.info("report", report);
};
