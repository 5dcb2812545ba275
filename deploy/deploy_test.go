// Package deploy has what it takes to run Theseus in other systems. Its tests hold
// the numbers in the manifests to each other and to the program's.
package deploy

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/theseus-run/theseus/app/manifest"
)

type probe struct {
	HTTPGet struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
	Period  int `yaml:"periodSeconds"`
	Timeout int `yaml:"timeoutSeconds"`
	Failure int `yaml:"failureThreshold"`
}

type document struct {
	Kind string            `yaml:"kind"`
	Data map[string]string `yaml:"data"`
	Spec struct {
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Args      []string `yaml:"args"`
					Startup   probe    `yaml:"startupProbe"`
					Readiness probe    `yaml:"readinessProbe"`
					Liveness  probe    `yaml:"livenessProbe"`
					Lifecycle struct {
						PreStop struct {
							Sleep struct {
								Seconds int `yaml:"seconds"`
							} `yaml:"sleep"`
						} `yaml:"preStop"`
					} `yaml:"lifecycle"`
				} `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

// TestKubernetes checks that the timings of the manifest fit the program's.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("kubernetes/theseus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var m *manifest.Manifest
	var checked bool
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		var d document
		if err := yaml.Unmarshal([]byte(part), &d); err != nil {
			t.Fatal(err)
		}
		switch d.Kind {
		case "ConfigMap":
			if m, err = manifest.Parse(manifest.File, []byte(d.Data[manifest.File]), nil); err != nil {
				t.Fatal(err)
			}
			for _, r := range m.Routes {
				if d.Data[r.Run] == "" {
					t.Errorf("the app has no %s", r.Run)
				}
			}
		case "Deployment":
			checked = true
			pod := d.Spec.Template.Spec
			c := pod.Containers[0]
			drain, stop := time.Duration(m.Limits.Drain), time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second
			if grace := time.Duration(pod.Grace) * time.Second; grace <= drain+stop {
				t.Errorf("the pod is killed after %s, while it may drain for %s after a pause of %s", grace, drain, stop)
			}
			if ready := time.Duration(c.Readiness.Period*c.Readiness.Failure+c.Readiness.Timeout) * time.Second; ready > stop {
				t.Errorf("traffic may come for %s after the stop; the pause is %s", ready, stop)
			}
			const probation = 2 * time.Second // of an upgrade, by default
			if live := time.Duration(c.Liveness.Period*c.Liveness.Failure) * time.Second; live <= 3*probation {
				t.Errorf("the pod is restarted after %s, in the middle of an upgrade", live)
			}
			if c.Liveness.HTTPGet.Path != "/livez" || c.Readiness.HTTPGet.Path != "/readyz" || c.Startup.HTTPGet.Path != "/readyz" {
				t.Error("a probe asks for the wrong path")
			}
		}
	}
	if !checked {
		t.Error("there is no Deployment")
	}
}
