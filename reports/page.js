// Draws the charts of a report from the numbers in the page. Without it the tables say the same.
(function () {
  "use strict";
  document.documentElement.classList.remove("no-script");
  var charts = JSON.parse(document.getElementById("chart-data").textContent);
  var dark = window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)");
  var drawn = [];
  function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  // Okabe and Ito's colours, which stay apart for colour-blind readers; black gives way to grey on dark paper.
  var colours = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#B8A800"];
  var prefixes = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "u"], [1e-9, "n"]];
  function si(value, unit) {
    if (value === 0) return "0 " + unit;
    var size = Math.abs(value);
    var at = prefixes.filter(function (p) { return size >= p[0]; })[0] || prefixes[prefixes.length - 1];
    return Number((value / at[0]).toPrecision(3)) + " " + at[1] + unit;
  }
  function count(value) {
    var steps = [[1 << 30, "G"], [1 << 20, "M"], [1 << 10, "k"]];
    for (var i = 0; i < steps.length; ++i) if (value >= steps[i][0] && value % steps[i][0] === 0) return value / steps[i][0] + steps[i][1];
    return String(value);
  }
  function draw() {
    drawn.forEach(function (chart) { chart.destroy(); });
    drawn = [];
    Chart.defaults.color = css("--quiet");
    Chart.defaults.borderColor = css("--line");
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.animation = false;
    charts.forEach(function (given) {
      var canvas = document.getElementById(given.id);
      var lines = given.kind === "line";
      var dots = !lines && given.log;  // a bar on a log scale begins nowhere in particular; a point does not begin
      var value = { type: given.log ? "logarithmic" : "linear", beginAtZero: !given.log,
                    title: { display: true, text: given.metric + " (" + given.better + " is better" + (given.log ? ", log scale)" : ")") },
                    ticks: { callback: function (v) {
                      if (!given.log) return si(v, given.unit);
                      var lead = Number(Number(v).toExponential().split("e")[0]);
                      return lead === 1 || lead === 2 || lead === 5 ? si(v, given.unit) : null;
                    } } };
      var axis = lines ? { type: given.log_x ? "logarithmic" : "linear", title: { display: true, text: given.axis },
                           min: given.x[0], max: given.x[given.x.length - 1],
                           afterBuildTicks: function (scale) { scale.ticks = given.x.map(function (x) { return { value: x }; }); },
                           ticks: { autoSkip: true, callback: function (v) { return count(v); } } }
                       : { ticks: { autoSkip: false }, offset: true };
      drawn.push(new Chart(canvas, {
        type: lines || dots ? "line" : "bar",
        data: { labels: given.labels, datasets: given.series.map(function (one, i) {
          var colour = colours[i % colours.length];
          return { label: one.name, data: one.points, borderColor: colour, pointBackgroundColor: colour,
                   backgroundColor: lines ? colour : given.series.length === 1 ? colours[0] + "cc" : colour + "cc",
                   borderWidth: lines ? 2 : 1, pointRadius: dots ? 6 : 3.5, tension: 0, showLine: lines,
                   borderDash: one.provenance === "projected" ? [6, 4] : one.provenance === "emulated" ? [2, 3] : [] };
        }) },
        options: { responsive: true, maintainAspectRatio: false, indexAxis: lines ? "x" : "y",
                   interaction: { mode: "nearest", intersect: false },
                   scales: lines ? { x: axis, y: value } : { x: value, y: axis },
                   plugins: { legend: { display: false },
                              tooltip: { callbacks: { label: function (item) {
                                var v = lines ? item.parsed.y : item.parsed.x;
                                var one = given.series[item.datasetIndex];
                                return " " + one.name + ": " + si(v, given.unit) + " (" + one.provenance + ")";
                              } } } } }
      }));
      // A legend of the page instead of the canvas: it wraps, is never cut, and can be copied.
      var legend = canvas.parentNode.parentNode.querySelector(".legend");
      legend.textContent = "";
      if (given.series.length > 1) given.series.forEach(function (one, i) {
        var item = document.createElement("li");
        var mark = document.createElement("span");
        mark.style.borderTopColor = colours[i % colours.length];
        mark.style.borderTopStyle = one.provenance === "projected" ? "dashed" : one.provenance === "emulated" ? "dotted" : "solid";
        item.appendChild(mark);
        item.appendChild(document.createTextNode(one.name));
        legend.appendChild(item);
      });
      canvas.dataset.points = String(given.series.reduce(function (n, one) { return n + one.points.length; }, 0));
    });
  }
  draw();
  if (dark && dark.addEventListener) dark.addEventListener("change", draw);
})();
